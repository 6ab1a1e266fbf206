"""Trains the resident model: tokenizer, token arrays, the loop, checkpoints.

    python train.py --text DIR --run RUN [--threads N]

Steps decide everything and the clock nothing: the same seed gives the same order of the same text. A run that was stopped goes on from its last checkpoint in RUN when the line is given again.

Copying is the skill that all tasks rest on and that comes late by itself. So it is planted in the first
weights (model.py), and echoes (tokens without sense that come again) keep it from the first step on. The
first phase is short and shows all kinds of text; the others are mostly workplace tasks with lists to repeat,
figures to compare and sentences to find; the last rows are as long as the model's context. The rate is constant and then falls in a straight line to zero. Matrices inside the layers are
trained with Muon, the rest with AdamW, all in f32.

Time is counted twice: by the clock, and as processor time of this process, which pauses and other work
on the machine do not change.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import data
from bpe import Tokenizer, learn
from model import Geometry, Resident, parameter_count
from muon import Muon

TOKENS_PER_STEP = 2048
STEPS = 1500
# (first step, tokens of a row)
ROWS = [(0, 256), (150, 512), (1460, 1024)]
MUON_RATE, ADAM_RATE = 0.01, 0.0015
CHECKPOINT_EVERY = 50

FIRST_MIXTURE = {
    data.ECHO: 0.16,
    "repeat": 0.10,
    "handbook": 0.02,
    "stories": 0.10,
    "dialogues": 0.02,
    "open_chat": 0.04,
    "identity": 0.01,
    "small_talk": 0.01,
    "compare": 0.05,
    "find": 0.06,
    "action_items": 0.13,
    "approval": 0.10,
    "hr_answer": 0.13,
    "thread_summary": 0.13,
}
SECOND_MIXTURE = {
    data.ECHO: 0.05,
    "repeat": 0.08,
    "stories": 0.07,
    "dialogues": 0.01,
    "open_chat": 0.02,
    "identity": 0.015,
    "small_talk": 0.015,
    "compare": 0.04,
    "find": 0.07,
    "action_items": 0.17,
    "approval": 0.13,
    "hr_answer": 0.16,
    "thread_summary": 0.16,
}
LAST_MIXTURE = {
    "repeat": 0.06,
    "stories": 0.08,
    "dialogues": 0.01,
    "open_chat": 0.02,
    "identity": 0.03,
    "small_talk": 0.03,
    "compare": 0.03,
    "find": 0.05,
    "action_items": 0.18,
    "approval": 0.14,
    "hr_answer": 0.17,
    "thread_summary": 0.17,
}
# (first step, mixture, chance of what is not the assistant's to count)
PHASES = [(0, FIRST_MIXTURE, 0.4), (150, SECOND_MIXTURE, 0.12), (1150, LAST_MIXTURE, 0.05)]
# (step, share of the full rate); straight lines between them
RATE = [(0, 1 / 40), (39, 1.0), (650, 1.0), (STEPS, 0.0)]


def plan(step):
    """What a step uses: mixture, row length, share of the rate, chance of what is not an answer."""
    mixture, other_chance = [phase[1:] for phase in PHASES if phase[0] <= step][-1]
    length = [row[1] for row in ROWS if row[0] <= step][-1]
    (start, high), (end, low) = next(line for line in zip(RATE, RATE[1:]) if step < line[1][0])
    share = high + (low - high) * (step - start) / (end - start)
    return mixture, length, share, other_chance


def optimisers(model):
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and not n.startswith("embedding")]
    norms = [p for p in model.parameters() if p.ndim == 1]
    muon = Muon(matrices, lr=MUON_RATE, momentum=0.95, weight_decay=0.01)
    adam = torch.optim.AdamW(
        [{"params": [model.embedding.weight], "weight_decay": 0.01}, {"params": norms, "weight_decay": 0.0}],
        lr=ADAM_RATE,
        betas=(0.9, 0.95),
        eps=1e-10,
    )
    return [(muon, MUON_RATE), (adam, ADAM_RATE)]


def loss_of(model, inputs, targets, counts):
    """Mean negative log-likelihood of the targets that count; the head computes no others."""
    chosen = model.hidden(inputs)[counts]
    return F.cross_entropy(F.linear(chosen, model.embedding.weight), targets[counts])


def tokenizer_of(run, text, seed, vocab_size):
    path = run / "merges.json"
    if not path.exists():
        Tokenizer(learn(data.training_texts(text, seed), vocab_size)).save(path)
    return Tokenizer.load(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, type=Path, help="folder with the five .jsonl.gz files")
    parser.add_argument("--run", required=True, type=Path, help="folder for the tokenizer, checkpoints and log")
    parser.add_argument("--stop-after", type=int, help="stop early at this step (to try the script)")
    parser.add_argument("--seed", type=int, default=20240)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    options.run.mkdir(parents=True, exist_ok=True)
    (options.run / "pid").write_text(str(os.getpid()))
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    geometry = Geometry()
    tokenizer = tokenizer_of(options.run, options.text, options.seed, geometry.vocab_size)
    assert len(tokenizer) == geometry.vocab_size
    shelves = data.prepare(tokenizer, options.text, options.seed)
    for name, shelf in shelves.items():
        print(f"{name}: {len(shelf)} documents, {len(shelf.ids)} tokens", flush=True)

    model = Resident(geometry)
    stages = optimisers(model)
    step, before = 0, {"by_clock": 0.0, "by_processor": 0.0}
    checkpoint = options.run / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        for (optimiser, _), state in zip(stages, saved["optimisers"]):
            optimiser.load_state_dict(state)
        step, before = saved["step"], saved["seconds"]
    print(f"{parameter_count(model)} parameters, from step {step} of {STEPS}", flush=True)

    last = min(STEPS, options.stop_after or STEPS)
    started, worked, running = time.monotonic(), time.process_time(), None
    while step < last:
        mixture, length, share, other_chance = plan(step)
        rows = TOKENS_PER_STEP // length
        inputs, targets, counts = data.batch(shelves, mixture, rows, length, options.seed, step, other_chance, geometry.vocab_size)
        loss = loss_of(model, inputs, targets, counts)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser, rate in stages:
            for group in optimiser.param_groups:
                group["lr"] = rate * share
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        step += 1
        running = loss.item() if running is None else 0.95 * running + 0.05 * loss.item()
        assert math.isfinite(running), f"the loss left the numbers at step {step}"
        seconds = {
            "by_clock": round(before["by_clock"] + time.monotonic() - started, 1),
            "by_processor": round(before["by_processor"] + time.process_time() - worked, 1),
        }
        if step % 10 == 0:
            print(json.dumps({"step": step, "loss": round(running, 4), "rate": round(share, 3), **seconds}), flush=True)
        if step % CHECKPOINT_EVERY == 0 or step == last:
            save(checkpoint, model, stages, geometry, step, options, seconds)


def save(path, model, stages, geometry, step, options, seconds):
    """Written beside and renamed, so that a stop never leaves half a checkpoint."""
    partial = path.with_suffix(".partial")
    content = {
        "model": model.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser, _ in stages],
        "geometry": geometry.to_dict(),
        "step": step,
        "steps": STEPS,
        "seed": options.seed,
        "seconds": seconds,
    }
    torch.save(content, partial)
    partial.replace(path)


if __name__ == "__main__":
    main()
