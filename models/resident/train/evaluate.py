"""Held-out figures of the shipped file, each beside a trivial baseline.

    python evaluate.py --model weir-resident.gguf --text DIR --out eval.json [--examples N]

Workplace tasks: seeded examples whose fillers (names, things, deeds, many numbers) training never
saw, once in the wordings of training and once in held-out wordings. Sources: bits per byte on
held-out documents, beside counting models of one and of three tokens fitted to the training part.
"""

import argparse
import json
import math
import random
import re
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F

import data
import workplace
from bpe import END_OF_TEXT
from export import load_shipped
from generate import answers
from golden import rendered

SEED = 99
BATCH = 50
TOKENS_PER_SOURCE = 20_000
WINDOW = 512


def words(text):
    return re.findall(r"\w+", text.lower())


def overlap_f1(ours, theirs):
    """F1 of two multisets."""
    ours, theirs = Counter(ours), Counter(theirs)
    common = sum((ours & theirs).values())
    return 2 * common / (sum(ours.values()) + sum(theirs.values())) if common else 0.0


def item_lines(text):
    return [line.strip() for line in text.splitlines() if line.strip().startswith("-")]


def score_items(answer, example):
    items = example["check"]["items"]
    return {
        "item_f1": overlap_f1(item_lines(answer), items) if items else float(not item_lines(answer)),
        "exact": float(answer.strip() == example["answer"]),
        "word_f1": overlap_f1(words(answer), words(example["answer"])),
    }


def score_approval(answer, example):
    decision = (re.findall(r"approve|escalate", answer.lower()) or [""])[0]
    return {"accuracy": float(decision == example["check"]["decision"].lower()), "exact": float(answer.strip() == example["answer"])}


def score_hr(answer, example):
    value = example["check"]["value"].lower()
    is_inside = re.search(r"(?<![\w,])" + re.escape(value) + r"(?!\w|,\d)", answer.lower()) is not None
    return {"has_value": float(is_inside), "exact": float(answer.strip() == example["answer"])}


def score_summary(answer, example):
    return {"word_f1": overlap_f1(words(answer), words(example["answer"])), "exact": float(answer.strip() == example["answer"])}


SCORES = {"action_items": score_items, "approval": score_approval, "hr_answer": score_hr, "thread_summary": score_summary}


def mean_scores(score, replies, examples):
    each = [score(reply, example) for reply, example in zip(replies, examples)]
    return {key: round(sum(scores[key] for scores in each) / len(each), 3) for key in each[0]}


def judge_task(model, tokenizer, task, count, held_out_wording):
    rng = random.Random(f"{SEED}:{task}:{held_out_wording}")
    examples = [workplace.example(task, rng, True, held_out_wording) for _ in range(count)]
    prompts = [tokenizer.encode_rendered(rendered(example["messages"][:-1])) for example in examples]
    replies = []
    for start in range(0, count, BATCH):
        replies += [tokenizer.decode(ids) for ids in answers(model, prompts[start : start + BATCH])]
    if task == "approval":
        majority = Counter(example["check"]["decision"] for example in examples).most_common(1)[0][0]
        trivial, name = [majority] * count, "majority class"
    else:
        trivial, name = [example["check"]["first"] for example in examples], "copy the first sentence"
    return {
        "examples": count,
        "model": mean_scores(SCORES[task], replies, examples),
        "baseline": {"name": name, **mean_scores(SCORES[task], trivial, examples)},
        "samples": [
            {"prompt": example["messages"][-2]["content"], "wanted": example["answer"], "answer": reply}
            for example, reply in list(zip(examples, replies))[:3]
        ],
    }


class Trigrams:
    """Counts of one, two and three tokens, mixed with fixed shares; and the first alone."""

    SHARES = (0.1, 0.4, 0.5)

    def __init__(self, documents, vocab_size):
        self.vocab_size, self.one, self.two, self.three = vocab_size, Counter(), Counter(), Counter()
        self.after_one, self.after_two = Counter(), Counter()
        for ids in documents:
            for a, b, c in zip([END_OF_TEXT, END_OF_TEXT, *ids], [END_OF_TEXT, *ids], ids):
                self.one[c] += 1
                self.two[b, c] += 1
                self.three[a, b, c] += 1
                self.after_one[b] += 1
                self.after_two[a, b] += 1
        self.total = self.one.total()

    def bits(self, ids):
        """(bits by single tokens, bits by the mixture)"""
        single = mixed = 0.0
        for a, b, c in zip([END_OF_TEXT, END_OF_TEXT, *ids], [END_OF_TEXT, *ids], ids):
            one = (self.one[c] + 1) / (self.total + self.vocab_size)
            two = self.two[b, c] / self.after_one[b] if self.after_one[b] else one
            three = self.three[a, b, c] / self.after_two[a, b] if self.after_two[a, b] else two
            single -= math.log2(one)
            mixed -= math.log2(self.SHARES[0] * one + self.SHARES[1] * two + self.SHARES[2] * three)
        return single, mixed


@torch.no_grad()
def model_bits(model, ids):
    """Bits of all ids, in windows that start after an end-of-text."""
    total = 0.0
    for start in range(0, len(ids), WINDOW):
        window = ids[start : start + WINDOW]
        logits = model(torch.tensor([[END_OF_TEXT, *window[:-1]]]))[0]
        total += F.cross_entropy(logits, torch.tensor(window), reduction="sum").item()
    return total / math.log(2)


def judge_source(model, tokenizer, folder, name):
    rows = data.read_source(folder, name)
    texts = [data.text_of(row) for row in rows if data.is_held_out(row)]
    random.Random(SEED).shuffle(texts)
    counted = Trigrams((tokenizer.encode(data.text_of(row)) for row in rows if not data.is_held_out(row)), len(tokenizer))
    tokens = size = 0
    bits = [0.0, 0.0, 0.0]
    for text in texts:
        ids = tokenizer.encode(text)[: TOKENS_PER_SOURCE - tokens]
        if not ids:
            break
        found = (model_bits(model, ids), *counted.bits(ids))
        bits = [total + more for total, more in zip(bits, found)]
        tokens += len(ids)
        size += len(tokenizer.decode(ids).encode("utf-8"))
    per_byte = dict(zip(("model", "unigram", "trigram"), (round(total / size, 3) for total in bits)))
    return {"held_out_tokens": tokens, "bits_per_byte": per_byte, "model_perplexity_per_token": round(2 ** (bits[0] / tokens), 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--text", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--examples", type=int, default=100, help="per task and wording")
    options = parser.parse_args()
    torch.set_num_threads(2)
    model, tokenizer = load_shipped(options.model)
    result = {"tasks": {}, "sources": {}}
    for task in workplace.TASKS:
        result["tasks"][task] = {
            "held_out_fillers": judge_task(model, tokenizer, task, options.examples, False),
            "held_out_fillers_and_wording": judge_task(model, tokenizer, task, options.examples, True),
        }
        for split, found in result["tasks"][task].items():
            print(task, split, found["model"], found["baseline"], flush=True)
    for name in data.SOURCES:
        result["sources"][name] = judge_source(model, tokenizer, options.text, name)
        print(name, result["sources"][name], flush=True)
    options.out.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
