import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import SiglipMultiheadAttentionPoolingHead

from siglip_lab.clip.pooling import AttentionPool2d, class_token, end_of_text, last_token, mean_pool
from siglip_lab.pooling import LastTokenHead, MAPHead


def test_map_head_equals_pytorchs_attention_plus_mlp():
    torch.manual_seed(0)
    head = MAPHead(24, num_heads=4, mlp_dim=32)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=0.3)
    other = nn.MultiheadAttention(24, 4, batch_first=True)
    other.load_state_dict(head.attention.state_dict())
    tokens = torch.randn(3, 10, 24)
    y = other(head.probe.expand(3, -1, -1), tokens, tokens)[0]
    expected = (y + head.mlp(head.layernorm(y)))[:, 0]
    torch.testing.assert_close(head(tokens), expected, rtol=0, atol=1e-5)


def test_map_head_does_not_mind_the_order_of_tokens():
    torch.manual_seed(0)
    head, tokens = MAPHead(24, num_heads=4, mlp_dim=32), torch.randn(1, 10, 24)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=0.3)
    torch.testing.assert_close(head(tokens), head(tokens.flip(1)), rtol=0, atol=1e-5)


def test_last_token_head_takes_the_last_token():
    head, tokens = LastTokenHead(8, 12), torch.randn(2, 5, 8)
    expected = tokens[:, -1] @ head.weight.T + head.bias
    torch.testing.assert_close(head(tokens), expected)
    tokens[:, :-1] = 0
    torch.testing.assert_close(head(tokens), expected)


def test_map_head_equals_transformers():
    torch.manual_seed(0)
    config = SiglipVisionConfig(hidden_size=24, num_attention_heads=4, intermediate_size=32)
    other = SiglipMultiheadAttentionPoolingHead(config).eval()
    head = MAPHead(24, num_heads=4, mlp_dim=32)
    head.load_state_dict(other.state_dict())
    tokens = torch.randn(3, 10, 24)
    torch.testing.assert_close(head(tokens), other(tokens), rtol=0, atol=1e-6)


def test_pooling_without_parameters():
    tokens = torch.randn(2, 5, 8)
    assert torch.equal(class_token(tokens), tokens[:, 0])
    assert torch.equal(last_token(tokens), tokens[:, 4])
    torch.testing.assert_close(mean_pool(tokens), sum(tokens.unbind(1)) / 5)


def test_end_of_text_takes_the_first_of_the_largest_ids():
    tokens = torch.randn(2, 4, 8)
    ids = torch.tensor([[5, 9, 9, 0], [5, 2, 1, 9]])
    assert torch.equal(end_of_text(tokens, ids), torch.stack([tokens[0, 1], tokens[1, 3]]))
    with pytest.raises(ValueError, match=r"shape \(2, 3\), tokens \(2, 4, 8\)"):
        end_of_text(tokens, ids[:, :3])


@pytest.mark.parametrize("embed_dim", [None, 12])
def test_attention_pool_equals_pytorchs_attention(embed_dim):
    """The call is the one of openai/CLIP, `clip/model.py`, with every position as a query."""
    torch.manual_seed(0)
    pool, features = AttentionPool2d(3, 24, 4, embed_dim), torch.randn(2, 24, 3, 3)
    x = features.flatten(2).permute(2, 0, 1)  # [9, 2, 24]
    x = torch.cat([x.mean(0, keepdim=True), x]) + pool.positional_embedding[:, None]
    expected, _ = F.multi_head_attention_forward(
        x, x, x, 24, 4, None, torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
        None, None, False, 0.0, pool.c_proj.weight, pool.c_proj.bias, training=False,
        use_separate_proj_weight=True, q_proj_weight=pool.q_proj.weight,
        k_proj_weight=pool.k_proj.weight, v_proj_weight=pool.v_proj.weight,
    )  # fmt: skip
    assert pool(features).shape == (2, embed_dim or 24)
    torch.testing.assert_close(pool(features), expected[0], rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"expected \[B, 24, G, G\] with G \* G = 9"):
        pool(torch.randn(2, 24, 4, 4))
