"""From the text folder and the generators to token arrays, and from those to batches.

A document is a list of (ids, is_answer) parts; `is_answer` marks what the assistant says, so that the
second phase can weigh it. One document in twenty of each source is held out and never trained on. A
batch depends only on the seed and the step, so that a resumed run sees the same text.
"""

import gzip
import json
import random
import zlib
from pathlib import Path

import numpy as np
import torch

import chat
import workplace
from bpe import END_OF_TEXT, IM_END, IM_START

SOURCES = ["tinystories", "taskmaster4", "topical_chat", "handbook_sourcegraph", "handbook_18f"]
TEMPLATE_EXAMPLES = 40_000
SMALL_TALK_EXAMPLES = 1_500
REPEAT_EXAMPLES = 8_000


def read_source(folder, name):
    with gzip.open(Path(folder) / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def text_of(row):
    """A row as plain text, for the tokenizer and for bits per byte."""
    return row["text"] if "text" in row else "\n".join(turn["text"] for turn in row["turns"])


def is_held_out(row):
    return zlib.crc32(text_of(row).encode("utf-8")) % 20 == 0


def training_texts(folder, seed):
    """What the tokenizer learns from: the sources, and template examples."""
    texts = [text_of(row) for name in SOURCES for row in read_source(folder, name) if not is_held_out(row)]
    rng = random.Random(seed)
    for index in range(4_000):
        task = list(workplace.TASKS)[index % len(workplace.TASKS)]
        texts += [message["content"] for message in workplace.example(task, rng)["messages"]]
    return texts


def chat_document(tokenizer, messages):
    """Messages in the chat template's form; the assistant's words and end mark are the answer."""
    parts, newline = [], tokenizer.encode("\n")
    for message in messages:
        opening = [IM_START, *tokenizer.encode(message["role"] + "\n")]
        body = [*tokenizer.encode(message["content"]), IM_END]
        is_answer = message["role"] == "assistant"
        parts += [(opening, False), (body, is_answer), (newline, False)]
    return [*parts, ([END_OF_TEXT], False)]


class Shelf:
    """Documents of one kind in two flat arrays: ids and answer marks."""

    def __init__(self, documents):
        self.starts, ids, answers = [0], [], []
        for document in documents:
            for part, is_answer in document:
                ids += part
                answers += [is_answer] * len(part)
            self.starts.append(len(ids))
        self.ids = np.array(ids, dtype=np.int32)
        self.answers = np.array(answers, dtype=np.bool_)

    def __len__(self):
        return len(self.starts) - 1

    def draw(self, rng, at_most):
        """A document; of a long one, a piece that starts anywhere."""
        index = rng.randrange(len(self))
        start, end = self.starts[index], self.starts[index + 1]
        if end - start > at_most:
            start += rng.randrange(end - start - at_most + 1)
        return slice(start, min(end, start + at_most))


def prepare(tokenizer, folder, seed):
    """Every shelf of training documents by name."""
    rng = random.Random(seed + 1)
    rows = {name: [row for row in read_source(folder, name) if not is_held_out(row)] for name in SOURCES}
    plain = lambda text: [(tokenizer.encode(text), False), ([END_OF_TEXT], False)]
    as_chat = lambda messages: chat_document(tokenizer, messages)
    shelves = {
        "handbook": Shelf(plain(row["text"]) for name in SOURCES[3:] for row in rows[name]),
        "plain_stories": Shelf(plain(row["text"]) for row in rows["tinystories"]),
        "stories": Shelf(as_chat(chat.story(row["text"], rng)) for row in rows["tinystories"]),
        "dialogues": Shelf(as_chat(chat.dialogue(row["turns"])) for row in rows["taskmaster4"]),
        "open_chat": Shelf(as_chat(chat.dialogue(row["turns"])) for row in rows["topical_chat"]),
        "identity": Shelf(as_chat(chat.from_table(chat.IDENTITY, rng)) for _ in range(SMALL_TALK_EXAMPLES)),
        "small_talk": Shelf(as_chat(chat.from_table(chat.SMALL_TALK, rng)) for _ in range(SMALL_TALK_EXAMPLES)),
    }
    for task in workplace.TASKS:
        examples = (workplace.example(task, rng)["messages"] for _ in range(TEMPLATE_EXAMPLES // len(workplace.TASKS)))
        shelves[task] = Shelf(as_chat(messages) for messages in examples)
    shelves["repeat"] = Shelf(as_chat(chat.repeat(rng)) for _ in range(REPEAT_EXAMPLES))
    return shelves


def batch(shelves, mixture, rows, length, seed, step, answer_only_weight):
    """Inputs, targets and weights of one step; each [rows, length]. `mixture` is in shares of tokens."""
    rng = random.Random(f"{seed}:{step}")
    names = list(mixture)
    mean_length = {name: min(length, len(shelves[name].ids) / len(shelves[name])) for name in names}
    chances = [mixture[name] / mean_length[name] for name in names]
    ids = np.empty((rows, length + 1), dtype=np.int64)
    weights = np.ones((rows, length + 1), dtype=np.float32)
    for row in range(rows):
        filled = 0
        while filled < length + 1:
            shelf = shelves[rng.choices(names, chances)[0]]
            piece = shelf.draw(rng, length + 1)
            count = min(piece.stop - piece.start, length + 1 - filled)
            piece = slice(piece.start, piece.start + count)
            ids[row, filled : filled + count] = shelf.ids[piece]
            if shelf.answers[piece].any():
                weights[row, filled : filled + count] = np.where(shelf.answers[piece], 1.0, answer_only_weight)
            filled += count
    ids, weights = torch.from_numpy(ids), torch.from_numpy(weights)
    return ids[:, :-1], ids[:, 1:], weights[:, 1:]
