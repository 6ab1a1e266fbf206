"""From the text folder and the generators to token arrays, and from those to batches.

A document is a list of (ids, is_answer) parts; `is_answer` marks what the assistant says, so that
training can look at it more often than at the rest. One document in twenty of each source is held out and never trained on. A
batch depends only on the seed and the step, so that a resumed run sees the same text.
"""

import gzip
import json
import math
import random
import zlib
from pathlib import Path

import numpy as np
import torch

import chat
import workplace
from bpe import END_OF_TEXT, IM_END, IM_START

SOURCES = ["tinystories", "taskmaster4", "topical_chat", "handbook_sourcegraph", "handbook_18f"]
TEMPLATE_EXAMPLES = 48_000
SMALL_TALK_EXAMPLES = 1_500
REPEAT_EXAMPLES = 8_000
COMPARE_EXAMPLES = 5_000
FIND_EXAMPLES = 8_000
ECHO = "echo"
# May be cut anywhere; the answer of all others is at their end, so they come whole or not at all.
CUTTABLE = {"handbook", "plain_stories", "stories", "dialogues", "open_chat"}
REST_OF_ROW = ["handbook", "plain_stories"]


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
        self.has_answers = bool(self.answers.any())

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
    shelves["compare"] = Shelf(as_chat(chat.compare(rng)) for _ in range(COMPARE_EXAMPLES))
    pages = [chat.sentences_of(row["text"]) for name in SOURCES[3:] for row in rows[name]]
    pages = [page for page in pages if len(page) > 2]
    found = (chat.find(pages[rng.randrange(len(pages))], rng) for _ in range(FIND_EXAMPLES))
    shelves["find"] = Shelf(as_chat(messages) for messages in found if messages)
    return shelves


def echo(rng, length, vocab_size):
    """Tokens without sense that come again and again: (ids, is a repetition). The bare form of copying.

    A piece uses the first few tokens of the vocabulary, or more, or all: with few, copying is learnt sooner.
    """
    ids, repeated = [], []
    while len(ids) < length:
        alphabet = int(math.exp(rng.uniform(math.log(64), math.log(vocab_size - 3))))
        piece = [3 + rng.randrange(alphabet) for _ in range(rng.randint(3, 24))]
        times = rng.randint(2, 4)
        ids += [END_OF_TEXT, *piece * times]
        repeated += [False] * (len(piece) + 2) + [True] * (len(piece) * (times - 1) - 1)
    return np.array(ids[:length]), np.array(repeated[:length])


def fitting(shelves, name, rng, at_most, room):
    """(shelf, slice) of a document for the `room` that a row has left."""
    for _ in range(1 if name in CUTTABLE else 6):
        drawn = shelves[name].draw(rng, at_most)
        if name in CUTTABLE or drawn.stop - drawn.start <= room:
            return name, slice(drawn.start, min(drawn.stop, drawn.start + room))
    name = rng.choice(REST_OF_ROW)
    return name, shelves[name].draw(rng, room)


def batch(shelves, mixture, rows, length, seed, step, other_chance, vocab_size):
    """Inputs and targets of one step, each [rows, length], and which targets count, [rows, length].

    `mixture` is in shares of tokens. What is not the assistant's counts with `other_chance` in chats,
    always in plain text; of an echo only the repetitions count.
    """
    rng = random.Random(f"{seed}:{step}")
    dice = np.random.default_rng([seed, step])
    names = list(mixture)
    mean_length = {name: length if name == ECHO else min(length, len(shelves[name].ids) / len(shelves[name])) for name in names}
    chances = [mixture[name] / mean_length[name] for name in names]
    ids = np.empty((rows, length + 1), dtype=np.int64)
    counts = np.ones((rows, length + 1), dtype=np.bool_)
    for row in range(rows):
        filled = 0
        while filled < length + 1:
            name = rng.choices(names, chances)[0]
            room = length + 1 - filled
            if name == ECHO:
                piece, answers = echo(rng, room, vocab_size)
                others = 0.0
            else:
                name, drawn = fitting(shelves, name, rng, length + 1, room)
                shelf = shelves[name]
                piece, answers = shelf.ids[drawn], shelf.answers[drawn]
                others = other_chance if shelf.has_answers else 1.0
            ids[row, filled : filled + len(piece)] = piece
            counts[row, filled : filled + len(piece)] = answers | (dice.random(len(piece)) < others)
            filled += len(piece)
    ids, counts = torch.from_numpy(ids), torch.from_numpy(counts)
    return ids[:, :-1], ids[:, 1:], counts[:, 1:]
