"""Writes the shipped file from a checkpoint, and reads it back as a model.

    python export.py --run RUN --out weir-resident.gguf [--hugging-face DIR]

GGUF's llama architecture rotates neighbouring pairs, so the rows of q and k are put in that order.
`--hugging-face` also writes config.json, tokenizer.json, tokenizer_config.json,
generation_config.json and model.safetensors with the same (dequantised) weights.
"""

import argparse
import json
import struct
from pathlib import Path

import numpy as np
import torch

import gguf
from bpe import END_OF_TEXT, IM_END, IM_START, SPECIALS, Tokenizer
from model import Geometry, Resident

TEMPLATE = (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8").strip()
NORMAL, CONTROL = 1, 3
LAYER_NAMES = {
    "attention_norm": ("attn_norm", "input_layernorm"),
    "attention.q": ("attn_q", "self_attn.q_proj"),
    "attention.k": ("attn_k", "self_attn.k_proj"),
    "attention.v": ("attn_v", "self_attn.v_proj"),
    "attention.o": ("attn_output", "self_attn.o_proj"),
    "feed_forward_norm": ("ffn_norm", "post_attention_layernorm"),
    "feed_forward.gate": ("ffn_gate", "mlp.gate_proj"),
    "feed_forward.up": ("ffn_up", "mlp.up_proj"),
    "feed_forward.down": ("ffn_down", "mlp.down_proj"),
}


def names(geometry):
    """(ours, GGUF's, Hugging Face's) for every tensor, in file order."""
    yield "embedding.weight", "token_embd.weight", "model.embed_tokens.weight"
    for layer in range(geometry.layers):
        for ours, (theirs, face) in LAYER_NAMES.items():
            yield f"layers.{layer}.{ours}.weight", f"blk.{layer}.{theirs}.weight", f"model.layers.{layer}.{face}.weight"
    yield "norm.weight", "output_norm.weight", "model.norm.weight"


def heads_of(name, geometry):
    """How many rotated heads a tensor holds; 0 when it is not rotated."""
    return geometry.heads if ".attention.q." in name else geometry.kv_heads if ".attention.k." in name else 0


def interleave(matrix, heads):
    """Halves -> neighbouring pairs (GGUF's order)."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def deinterleave(matrix, heads):
    rows, columns = matrix.shape
    return matrix.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def fields_of(geometry, tokenizer):
    u32, f32, text = gguf.UINT32, gguf.FLOAT32, gguf.STRING
    kinds = [CONTROL] * len(SPECIALS) + [NORMAL] * (len(tokenizer) - len(SPECIALS))
    return [
        ("general.architecture", text, "llama"),
        ("general.name", text, "Weir resident"),
        ("general.license", text, "apache-2.0"),
        ("general.languages", (gguf.ARRAY, text), ["en"]),
        ("general.file_type", u32, 7),
        ("general.quantization_version", u32, 2),
        ("llama.vocab_size", u32, geometry.vocab_size),
        ("llama.context_length", u32, geometry.context_length),
        ("llama.embedding_length", u32, geometry.hidden_size),
        ("llama.block_count", u32, geometry.layers),
        ("llama.feed_forward_length", u32, geometry.intermediate_size),
        ("llama.attention.head_count", u32, geometry.heads),
        ("llama.attention.head_count_kv", u32, geometry.kv_heads),
        ("llama.attention.key_length", u32, geometry.head_dim),
        ("llama.attention.value_length", u32, geometry.head_dim),
        ("llama.attention.layer_norm_rms_epsilon", f32, geometry.norm_eps),
        ("llama.rope.freq_base", f32, geometry.rope_theta),
        ("llama.rope.dimension_count", u32, geometry.head_dim),
        ("tokenizer.ggml.model", text, "gpt2"),
        ("tokenizer.ggml.pre", text, "gpt-2"),
        ("tokenizer.ggml.tokens", (gguf.ARRAY, text), tokenizer.tokens),
        ("tokenizer.ggml.token_type", (gguf.ARRAY, gguf.INT32), kinds),
        ("tokenizer.ggml.merges", (gguf.ARRAY, text), [f"{left} {right}" for left, right in tokenizer.merges]),
        ("tokenizer.ggml.bos_token_id", u32, END_OF_TEXT),
        ("tokenizer.ggml.eos_token_id", u32, IM_END),
        ("tokenizer.ggml.eot_token_id", u32, END_OF_TEXT),
        ("tokenizer.ggml.padding_token_id", u32, END_OF_TEXT),
        ("tokenizer.ggml.add_bos_token", gguf.BOOL, False),
        ("tokenizer.ggml.add_eos_token", gguf.BOOL, False),
        ("tokenizer.chat_template", text, TEMPLATE),
    ]


def write_gguf(path, state, geometry, tokenizer):
    tensors = {}
    for ours, theirs, _ in names(geometry):
        array, heads = state[ours].float().numpy(), heads_of(ours, geometry)
        tensors[theirs] = interleave(array, heads) if heads else array
    gguf.write(path, fields_of(geometry, tokenizer), tensors)


def load_shipped(path):
    """Model and tokenizer as they lie in the shipped file, dequantised to f32."""
    fields, tensors = gguf.read(path)
    geometry = gguf.geometry_of(fields)
    state = {}
    for ours, theirs, _ in names(geometry):
        array, heads = tensors[theirs], heads_of(ours, geometry)
        state[ours] = torch.from_numpy(np.array(deinterleave(array, heads) if heads else array))
    model = Resident(geometry)
    model.load_state_dict(state)
    tokenizer = Tokenizer(merge.split(" ") for merge in fields["tokenizer.ggml.merges"])
    assert tokenizer.tokens == fields["tokenizer.ggml.tokens"]
    return model.eval(), tokenizer


def write_hugging_face(folder, model, tokenizer):
    g = model.geometry
    ends = {"bos_token_id": END_OF_TEXT, "eos_token_id": [IM_END, END_OF_TEXT], "pad_token_id": END_OF_TEXT}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": g.vocab_size,
        "hidden_size": g.hidden_size,
        "intermediate_size": g.intermediate_size,
        "num_hidden_layers": g.layers,
        "num_attention_heads": g.heads,
        "num_key_value_heads": g.kv_heads,
        "head_dim": g.head_dim,
        "max_position_embeddings": g.context_length,
        "rms_norm_eps": g.norm_eps,
        "rope_theta": g.rope_theta,
        "rope_scaling": None,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        **ends,
    }
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": g.context_length,
        "add_bos_token": False,
        "bos_token": SPECIALS[END_OF_TEXT],
        "eos_token": SPECIALS[IM_END],
        "pad_token": SPECIALS[END_OF_TEXT],
        "additional_special_tokens": [SPECIALS[IM_START], SPECIALS[IM_END]],
        "clean_up_tokenization_spaces": False,
        "chat_template": TEMPLATE,
    }
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "config.json": config,
        "tokenizer.json": tokenizer.hugging_face(),
        "tokenizer_config.json": tokenizer_config,
        "generation_config.json": {**ends, "do_sample": False},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    state = model.state_dict()
    write_safetensors(folder / "model.safetensors", {face: state[ours].numpy() for ours, _, face in names(g)})


def write_safetensors(path, tensors):
    header, body = {}, b""
    for name, array in tensors.items():
        data = array.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + body)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, type=Path, help="folder with checkpoint.pt and merges.json")
    parser.add_argument("--out", required=True, type=Path, help="the GGUF file to write")
    parser.add_argument("--hugging-face", type=Path, help="also write a Hugging Face folder here")
    options = parser.parse_args()
    saved = torch.load(options.run / "checkpoint.pt")
    tokenizer = Tokenizer.load(options.run / "merges.json")
    write_gguf(options.out, saved["model"], Geometry(**saved["geometry"]), tokenizer)
    print(f"{options.out.name}: {options.out.stat().st_size} bytes, after {saved['step']} of {saved['steps']} steps, seconds of training: {saved['seconds']}")
    if options.hugging_face:
        write_hugging_face(options.hugging_face, *load_shipped(options.out))


if __name__ == "__main__":
    main()
