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
        """Normal, and smaller where a matrix writes into the residual stream; then copying is planted."""
        quiet = 0.02 / (2 * self.geometry.layers) ** 0.5
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                is_output = name.endswith(("attention.o.weight", "feed_forward.down.weight"))
                nn.init.normal_(parameter, std=0.04 if name.startswith("embedding") else quiet if is_output else 0.02)
        self.plant_copying()

    @torch.no_grad()
    def plant_copying(self):
        """Sets one head in each of the first two layers so that together they copy, roughly, before any training.

        The first looks one token back and writes down what it saw: its query and key come from a feature that
        all tokens share, and the key is rotated by one position. The second looks where the token before was
        the present one, and writes down what stands there. Tokens are told apart by random projections, matched
        in the slow rotary pairs, which a hundred positions hardly turn. Training would find this by itself, but
        takes a good part of its budget for it, and all tasks here rest on it.
        """
        g, half = self.geometry, self.geometry.head_dim // 2
        basis = torch.zeros(g.hidden_size, 2 * g.head_dim)
        basis[1:] = torch.linalg.qr(torch.randn(g.hidden_size - 1, 2 * g.head_dim))[0]
        token, before = basis[:, : g.head_dim], basis[:, g.head_dim :]
        frequency = g.rope_theta ** -(torch.arange(half) / half)
        fast, slow = torch.arange(12), torch.arange(19, half)
        first, second = self.layers[0].attention, self.layers[1].attention

        self.embedding.weight[:, 0] = 0.2
        first.q.weight[fast, 0] = 1.4
        first.k.weight[fast, 0] = 1.4 * frequency[fast].cos()
        first.k.weight[fast + half, 0] = 1.4 * frequency[fast].sin()
        first.v.weight.copy_(token.T)
        first.o.weight[:, : g.head_dim] = 0.12 * before

        matched = torch.cat([slow, slow + half])
        second.q.weight[matched] = 1.65 * token.T[: len(matched)]
        second.k.weight[matched] = 1.65 * before.T[: len(matched)]
        second.v.weight.copy_(token.T)
        second.o.weight[:, : g.head_dim] = 0.8 * token

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
