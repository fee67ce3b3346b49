"""A small decoder-only transformer as the field builds it: RoPE, RMSNorm before each block, SwiGLU, tied embedding."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BASE = 10_000.0
"""Of the rotations: the slowest one turns about once in 2π·BASE tokens."""
DEVIATION = 0.02


class Transformer(nn.Module):
    """Tokens (B, T) to logits (B, T, V), each from the tokens up to it.

    `x ← x + attention(norm(x))`, `x ← x + feed_forward(norm(x))` in every layer, then a norm and the embedding's own
    weights as the output layer (Press & Wolf, 2017). Weights are normal with deviation 0.02, those that write to the
    residual stream with 0.02 / √(2·layers) (GPT-2).
    """

    def __init__(self, vocabulary: int, layers: int, width: int, heads: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = nn.RMSNorm(width)
        for name, weights in self.named_parameters():
            if weights.dim() > 1:
                into_residual = name.endswith(("attention.out.weight", "feed_forward.down.weight"))
                nn.init.normal_(weights, std=DEVIATION / (math.sqrt(2 * layers) if into_residual else 1))

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.embedding(tokens)
        for layer in self.layers:
            hidden = layer(hidden)
        return F.linear(self.norm(hidden), self.embedding.weight)


class Layer(nn.Module):
    """One layer: attention and a feed-forward network, each behind a norm and added to what goes in, (B, T, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.RMSNorm(width), Attention(width, heads)
        self.feed_forward_norm, self.feed_forward = nn.RMSNorm(width), FeedForward(width)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self.attention(self.attention_norm(hidden))
        after: Tensor = hidden + self.feed_forward(self.feed_forward_norm(hidden))
        return after


class Attention(nn.Module):
    """Causal attention in `heads` heads; queries and keys are rotated by their place (RoPE; Su et al., 2021)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        split = self.project(hidden).view(batch, length, 3, self.heads, width // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(rotated(queries), rotated(keys), values, is_causal=True)
        out: Tensor = self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return out


class FeedForward(nn.Module):
    """SwiGLU, down(silu(gate(x)) ⊙ up(x)), with 8/3 times the width inside (Shazeer, 2020)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = 8 * width // 3
        self.gate, self.up = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        down: Tensor = self.down(F.silu(self.gate(hidden)) * self.up(hidden))
        return down


def rotated(heads: Tensor) -> Tensor:
    """`heads` (…, T, D), each pair (x_i, x_{i+D/2}) turned by the angle t·BASE^(−2i/D) at the place t."""
    length, half = heads.shape[-2], heads.shape[-1] // 2
    speeds = BASE ** -(torch.arange(half, device=heads.device) / half)
    angles = torch.arange(length, device=heads.device)[:, None] * speeds
    cosine, sine = angles.cos().to(heads.dtype), angles.sin().to(heads.dtype)
    first, second = heads[..., :half], heads[..., half:]
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)
