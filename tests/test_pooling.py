import torch
from torch import nn

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
