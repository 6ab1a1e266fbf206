"""Greedy answers for many prompts at once, with a key-value cache; for the evaluation.

Prompts are padded on the left; padding is masked, and each row counts its own positions.
"""

import torch
import torch.nn.functional as F

from bpe import END_OF_TEXT, IM_END
from model import rotate


def _attend(layer, x, cos, sin, mask, cache):
    """One attention half with the keys and values of `cache` before its own."""
    g, (rows, length, _) = layer.g, x.shape
    split = lambda wide, heads: wide.view(rows, length, heads, g.head_dim).transpose(1, 2)
    q = rotate(split(layer.q(x), g.heads), cos, sin)
    k = rotate(split(layer.k(x), g.kv_heads), cos, sin)
    v = split(layer.v(x), g.kv_heads)
    if cache:
        k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
    group = g.heads // g.kv_heads
    wide_k, wide_v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    mixed = F.scaled_dot_product_attention(q, wide_k, wide_v, attn_mask=mask)
    return layer.o(mixed.transpose(1, 2).reshape(rows, length, -1)), (k, v)


def _step(model, ids, positions, mask, caches):
    cos, sin = model.cos[positions].unsqueeze(1), model.sin[positions].unsqueeze(1)
    x, kept = model.embedding(ids), []
    for layer, cache in zip(model.layers, caches):
        mixed, cache = _attend(layer.attention, layer.attention_norm(x), cos, sin, mask, cache)
        x = x + mixed
        x = x + layer.feed_forward(layer.feed_forward_norm(x))
        kept.append(cache)
    return F.linear(model.norm(x[:, -1]), model.embedding.weight), kept


@torch.no_grad()
def answers(model, prompts, at_most=160):
    """The ids of each answer, without its end token. `prompts` are lists of ids."""
    rows, width = len(prompts), max(map(len, prompts))
    ids = torch.full((rows, width), END_OF_TEXT)
    real = torch.zeros((rows, width), dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        real[row, width - len(prompt) :] = True
    positions = (real.cumsum(1) - 1).clamp(min=0)
    diagonal = torch.eye(width, dtype=torch.bool)
    mask = (torch.ones(width, width, dtype=torch.bool).tril() & real[:, None, :] | diagonal)[:, None]
    logits, caches = _step(model, ids, positions, mask, [None] * len(model.layers))
    position, chosen = positions[:, -1:], [[] for _ in prompts]
    is_open = [True] * rows
    for _ in range(at_most):
        token = logits.argmax(-1)
        for row, value in enumerate(token.tolist()):
            is_open[row] = is_open[row] and value not in (IM_END, END_OF_TEXT)
            if is_open[row]:
                chosen[row].append(value)
        if not any(is_open):
            break
        position = position + 1
        real = torch.cat([real, torch.ones((rows, 1), dtype=torch.bool)], dim=1)
        logits, caches = _step(model, token[:, None], position, real[:, None, None, :], caches)
    return chosen
