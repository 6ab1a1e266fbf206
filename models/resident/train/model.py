"""The network: the Llama architecture as transformers and llama.cpp define it, small.

RMSNorm before each half of a layer, rotary positions with the two halves of a head rotated against
each other (Hugging Face's order), grouped-query attention, SwiGLU, no biases, and one matrix that is
both the embedding and the output head. Only PyTorch is needed.
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass(frozen=True)
class Geometry:
    """Everything that fixes the shapes. Stored in checkpoints and in the exported file."""

    vocab_size: int = 4096
    hidden_size: int = 320
    intermediate_size: int = 832
    layers: int = 6
    heads: int = 5
    kv_heads: int = 1
    head_dim: int = 64
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    context_length: int = 1024

    def to_dict(self):
        return asdict(self)


class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def rotary_tables(geometry, length):
    """cos and sin of shape [length, head_dim], the second half repeating the first."""
    pairs = torch.arange(0, geometry.head_dim, 2, dtype=torch.float32) / geometry.head_dim
    frequency = geometry.rope_theta**-pairs
    angle = torch.outer(torch.arange(length, dtype=torch.float32), frequency)
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return x * cos + turned * sin


class Attention(nn.Module):
    def __init__(self, g):
        super().__init__()
        self.g = g
        self.q = nn.Linear(g.hidden_size, g.heads * g.head_dim, bias=False)
        self.k = nn.Linear(g.hidden_size, g.kv_heads * g.head_dim, bias=False)
        self.v = nn.Linear(g.hidden_size, g.kv_heads * g.head_dim, bias=False)
        self.o = nn.Linear(g.heads * g.head_dim, g.hidden_size, bias=False)

    def forward(self, x, cos, sin):
        g, (rows, length, _) = self.g, x.shape
        q = self.q(x).view(rows, length, g.heads, g.head_dim).transpose(1, 2)
        k = self.k(x).view(rows, length, g.kv_heads, g.head_dim).transpose(1, 2)
        v = self.v(x).view(rows, length, g.kv_heads, g.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        group = g.heads // g.kv_heads
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o(mixed.transpose(1, 2).reshape(rows, length, -1))


class FeedForward(nn.Module):
    def __init__(self, g):
        super().__init__()
        self.gate = nn.Linear(g.hidden_size, g.intermediate_size, bias=False)
        self.up = nn.Linear(g.hidden_size, g.intermediate_size, bias=False)
        self.down = nn.Linear(g.intermediate_size, g.hidden_size, bias=False)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Layer(nn.Module):
    def __init__(self, g):
        super().__init__()
        self.attention_norm = RMSNorm(g.hidden_size, g.norm_eps)
        self.attention = Attention(g)
        self.feed_forward_norm = RMSNorm(g.hidden_size, g.norm_eps)
        self.feed_forward = FeedForward(g)

    def forward(self, x, cos, sin):
        x = x + self.attention(self.attention_norm(x), cos, sin)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Resident(nn.Module):
    def __init__(self, geometry):
        super().__init__()
        self.geometry = geometry
        self.embedding = nn.Embedding(geometry.vocab_size, geometry.hidden_size)
        self.layers = nn.ModuleList(Layer(geometry) for _ in range(geometry.layers))
        self.norm = RMSNorm(geometry.hidden_size, geometry.norm_eps)
        cos, sin = rotary_tables(geometry, geometry.context_length)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.initialise()

    def initialise(self):
        """Normal, and smaller where a matrix writes into the residual stream."""
        quiet = 0.02 / (2 * self.geometry.layers) ** 0.5
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                is_output = name.endswith(("attention.o.weight", "feed_forward.down.weight"))
                nn.init.normal_(parameter, std=quiet if is_output else 0.02)

    def hidden(self, ids):
        """The normed last hidden state, before the head."""
        length = ids.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        x = self.embedding(ids)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x)

    def forward(self, ids):
        return F.linear(self.hidden(ids), self.embedding.weight)


def parameter_count(model):
    return sum(parameter.numel() for parameter in model.parameters())
