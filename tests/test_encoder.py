import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import SiglipEncoderLayer

from siglip_lab.encoder import MLP, Attention, EncoderLayer


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_layer_equals_transformers():
    config = SiglipVisionConfig(
        hidden_size=72, num_attention_heads=3, intermediate_size=100, attn_implementation="eager"
    )
    other = SiglipEncoderLayer(config).eval()
    layer = EncoderLayer(72, num_heads=3, mlp_dim=100)
    layer.load_state_dict(other.state_dict())
    x = torch.randn(2, 9, 72)
    torch.testing.assert_close(layer(x), other(x, None), rtol=0, atol=1e-6)


def test_attention_is_the_softmax_written_out():
    attention = Attention(24, num_heads=4)
    x = torch.randn(2, 5, 24)
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    q, k, v = (projection(x).view(2, 5, 4, 6).transpose(1, 2) for projection in projections)
    weights = (q @ k.transpose(-1, -2) / 6**0.5).softmax(-1)
    expected = attention.out_proj((weights @ v).transpose(1, 2).reshape(2, 5, 24))
    torch.testing.assert_close(attention(x), expected, rtol=0, atol=1e-6)


def test_attention_ignores_the_order_of_tokens():
    attention, order = Attention(24, num_heads=4), torch.randperm(7)
    x = torch.randn(1, 7, 24)
    torch.testing.assert_close(attention(x)[:, order], attention(x[:, order]), rtol=0, atol=1e-6)


def test_mlp_uses_the_tanh_gelu():
    mlp = MLP(8, 16)
    x = 3 * torch.randn(4, 8)
    tanh = mlp.fc2(F.gelu(mlp.fc1(x), approximate="tanh"))
    exact = mlp.fc2(F.gelu(mlp.fc1(x)))
    assert torch.equal(mlp(x), tanh)
    assert not torch.equal(mlp(x), exact)


def test_norms_have_the_epsilon_of_flax():
    norms = [m for m in EncoderLayer(8, 2, 16).modules() if isinstance(m, nn.LayerNorm)]
    assert [norm.eps for norm in norms] == [1e-6, 1e-6]
