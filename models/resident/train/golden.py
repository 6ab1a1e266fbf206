"""Golden figures of the shipped file: a plain f32 forward pass over its dequantised weights.

    python golden.py --model weir-resident.gguf --text DIR --out golden.json

For each prompt: its text and ids, the 64 ids that the greatest logit picks (end tokens do not stop
it), their text, the gap between the two greatest logits at every step, and the five greatest logits
of the first steps. For each text: its ids and the mean negative log-likelihood of ids 1.. given those
before. The texts are self-made, or from the 18F handbook (public domain), held out from training.
"""

import argparse
import hashlib
import json
import random
from pathlib import Path

import torch
import torch.nn.functional as F

import data
import workplace
from bpe import IM_END
from export import load_shipped

STEPS = 64
SHOWN_STEPS = 4
SEED = 7


def rendered(messages):
    """The chat template's text, with the opening of the assistant's turn."""
    turns = "".join(f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in messages)
    return turns + "<|im_start|>assistant\n"


def held_out_pages(folder):
    pages = [row["text"].strip() for row in data.read_source(folder, "handbook_18f") if data.is_held_out(row)]
    return sorted(page for page in pages if len(page) > 1200)


def prompts(folder):
    """(name, kind, messages or None, text)"""
    rng = random.Random(SEED)
    page = held_out_pages(folder)[0]
    raw = {
        "once": "Once upon a time, there was a little otter who",
        "meeting": "The purpose of the weekly meeting is to",
        "unicode": "Café notes – “résumé” for 12,345 € 🙂:",
        "handbook_18f": page[:300],
    }
    chats = {
        "who": [{"role": "user", "content": "Who are you?"}],
        "system": [
            {"role": "system", "content": workplace.SYSTEM_LINES[0]},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hello! How can I help you?"},
            {"role": "user", "content": "What can you do?"},
        ],
    }
    for task in workplace.TASKS:
        chats[task] = workplace.example(task, rng, held_out_fillers=True)["messages"][:-1]
    for name, text in raw.items():
        yield name, "text", None, text
    for name, messages in chats.items():
        yield name, "chat", messages, rendered(messages)


def texts(folder):
    """(name, source, text) for the likelihoods."""
    rng = random.Random(SEED + 1)
    for index, page in enumerate(held_out_pages(folder)[1:4]):
        yield f"handbook_18f_{index}", "18F handbook, public domain", page[:1200]
    for task in ("action_items", "thread_summary"):
        messages = workplace.example(task, rng, held_out_fillers=True)["messages"]
        yield task, "self-made", rendered(messages[:-1]) + messages[-1]["content"] + "<|im_end|>\n"


@torch.no_grad()
def greedy(model, ids):
    ids, chosen, gaps, shown = list(ids), [], [], []
    for step in range(STEPS):
        logits = model(torch.tensor([ids]))[0, -1]
        top = logits.topk(5)
        gaps.append(round((top.values[0] - top.values[1]).item(), 4))
        if step < SHOWN_STEPS:
            shown.append([[token, round(value, 4)] for token, value in zip(top.indices.tolist(), top.values.tolist())])
        chosen.append(top.indices[0].item())
        ids.append(chosen[-1])
    return chosen, gaps, shown


@torch.no_grad()
def mean_nll(model, ids):
    logits = model(torch.tensor([ids[:-1]]))[0]
    return F.cross_entropy(logits.double(), torch.tensor(ids[1:])).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--text", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    options = parser.parse_args()
    torch.set_num_threads(2)
    model, tokenizer = load_shipped(options.model)
    golden = {
        "model": options.model.name,
        "sha256": hashlib.sha256(options.model.read_bytes()).hexdigest(),
        "computed": "plain f32 PyTorch forward pass over the dequantised weights of this file, whole prompt each step",
        "prompts": [],
        "texts": [],
    }
    for name, kind, messages, text in prompts(options.text):
        ids = tokenizer.encode_rendered(text)
        chosen, gaps, shown = greedy(model, ids)
        end = chosen.index(IM_END) if IM_END in chosen else len(chosen)
        entry = {"name": name, "kind": kind, "prompt": text, "prompt_ids": ids, "greedy_ids": chosen}
        entry |= {"messages": messages} if messages else {}
        entry |= {"greedy_text": tokenizer.decode(chosen), "answer": tokenizer.decode(chosen[:end]), "top_gap": gaps, "top5": shown}
        golden["prompts"].append(entry)
    for name, source, text in texts(options.text):
        ids = tokenizer.encode_rendered(text)
        golden["texts"].append({"name": name, "source": source, "text": text, "ids": ids, "mean_nll": round(mean_nll(model, ids), 6)})
    options.out.write_text(compact(golden), encoding="utf-8")


def compact(golden):
    """One line per prompt and text, so that a change is readable as a change."""
    head = {key: value for key, value in golden.items() if not isinstance(value, list)}
    lines = [f' "{key}": {json.dumps(value)}' for key, value in head.items()]
    for key in ("prompts", "texts"):
        rows = ",\n".join("  " + json.dumps(entry, ensure_ascii=False) for entry in golden[key])
        lines.append(f' "{key}": [\n{rows}\n ]')
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    main()
