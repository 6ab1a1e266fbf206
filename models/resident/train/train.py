"""Trains the resident model: tokenizer, token arrays, the loop, checkpoints.

    python train.py --text DIR --run RUN [--threads N]

Steps decide everything and the clock nothing: the same seed gives the same order of the same text. A run that was stopped goes on from its last checkpoint in RUN when the line is given again.

The first phase learns language; the others see mostly chat and workplace tasks, one of them with many
lists to repeat, since copying comes late; the last rows are as long as the model's context. The rate
stays constant until step 780 and then falls in two straight lines to zero. Matrices inside the layers are
trained with Muon, the rest with AdamW.
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

TOKENS_PER_STEP = 4096
STEPS = 1200
SHORT_ROW, LONG_ROWS_FROM = 256, 1160
MUON_RATE, ADAM_RATE = 0.012, 0.004
CHECKPOINT_EVERY = 50

FIRST_MIXTURE = {
    "handbook": 0.23,
    "plain_stories": 0.05,
    "stories": 0.08,
    "dialogues": 0.05,
    "open_chat": 0.16,
    "identity": 0.01,
    "small_talk": 0.01,
    "action_items": 0.12,
    "approval": 0.09,
    "hr_answer": 0.10,
    "thread_summary": 0.10,
}
SECOND_MIXTURE = {
    "repeat": 0.10,
    "handbook": 0.04,
    "plain_stories": 0.01,
    "stories": 0.08,
    "dialogues": 0.02,
    "open_chat": 0.04,
    "identity": 0.03,
    "small_talk": 0.03,
    "action_items": 0.18,
    "approval": 0.14,
    "hr_answer": 0.16,
    "thread_summary": 0.17,
}
COPY_MIXTURE = {
    "repeat": 0.25,
    "handbook": 0.03,
    "plain_stories": 0.01,
    "stories": 0.06,
    "dialogues": 0.01,
    "open_chat": 0.02,
    "identity": 0.02,
    "small_talk": 0.02,
    "action_items": 0.16,
    "approval": 0.11,
    "hr_answer": 0.14,
    "thread_summary": 0.17,
}
# (first step, mixture, weight of what is not an answer)
PHASES = [
    (0, FIRST_MIXTURE, 1.0),
    (550, SECOND_MIXTURE, 0.2),
    (700, COPY_MIXTURE, 0.2),
    (1000, SECOND_MIXTURE, 0.2),
]
# (step, share of the full rate); straight lines between them
RATE = [(0, 1 / 60), (59, 1.0), (780, 1.0), (1100, 5 / 13), (STEPS, 0.0)]


def plan(step, context_length):
    """What a step uses: mixture, row length, share of the rate, weight of what is not an answer."""
    mixture, other_weight = [phase[1:] for phase in PHASES if phase[0] <= step][-1]
    length = SHORT_ROW if step < LONG_ROWS_FROM else context_length
    (start, high), (end, low) = next(line for line in zip(RATE, RATE[1:]) if step < line[1][0])
    share = high + (low - high) * (step - start) / (end - start)
    return mixture, length, share, other_weight


def optimisers(model):
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and not n.startswith("embedding")]
    norms = [p for p in model.parameters() if p.ndim == 1]
    muon = torch.optim.Muon(matrices, lr=MUON_RATE, momentum=0.95, weight_decay=0.01, adjust_lr_fn="original")
    adam = torch.optim.AdamW(
        [{"params": [model.embedding.weight], "weight_decay": 0.01}, {"params": norms, "weight_decay": 0.0}],
        lr=ADAM_RATE,
        betas=(0.9, 0.95),
        eps=1e-10,
    )
    return [(muon, MUON_RATE), (adam, ADAM_RATE)]


def loss_of(model, inputs, targets, weights):
    """Weighted mean negative log-likelihood of a batch."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(inputs)
    each = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
    return (each * weights.flatten()).sum() / weights.sum()


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
    step, seconds = 0, 0.0
    checkpoint = options.run / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        for (optimiser, _), state in zip(stages, saved["optimisers"]):
            optimiser.load_state_dict(state)
        step, seconds = saved["step"], saved["seconds"]
    print(f"{parameter_count(model)} parameters, from step {step} of {STEPS}", flush=True)

    last = min(STEPS, options.stop_after or STEPS)
    started, running = time.monotonic(), None
    while step < last:
        mixture, length, share, other_weight = plan(step, geometry.context_length)
        rows = TOKENS_PER_STEP // length
        inputs, targets, weights = data.batch(shelves, mixture, rows, length, options.seed, step, other_weight)
        loss = loss_of(model, inputs, targets, weights)
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
        if step % 10 == 0:
            now = seconds + time.monotonic() - started
            print(json.dumps({"step": step, "loss": round(running, 4), "rate": round(share, 3), "seconds": round(now)}), flush=True)
        if step % CHECKPOINT_EVERY == 0 or step == last:
            save(checkpoint, model, stages, geometry, step, options, seconds + time.monotonic() - started)


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
