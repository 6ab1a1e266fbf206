"""The tokenizer: byte-level BPE in the GPT-2 manner, learnt here, without other packages.

Text is cut into words by GPT-2's pattern, each word becomes UTF-8 bytes written as printable
characters, and learnt merges join neighbours. Three things are particular: digits never merge, so that
a number is copied digit by digit; a space never joins a capital, so that a name has the same tokens at the
start of a line and inside it; and the special tokens have the first ids. `hugging_face()` gives
the same tokenizer as the content of a `tokenizer.json`.
"""

import heapq
import json
import re
import sys
import unicodedata
from collections import Counter, defaultdict

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
END_OF_TEXT, IM_START, IM_END = range(3)


def _character_class(initial):
    """All characters whose Unicode category starts with `initial`, as the inside of a [...]."""
    ranges, start = [], None
    for code in range(sys.maxunicode + 2):
        inside = code <= sys.maxunicode and unicodedata.category(chr(code))[0] == initial
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            ranges.append(f"\\U{start:08x}-\\U{code - 1:08x}")
            start = None
    return "".join(ranges)


_LETTER, _NUMBER = _character_class("L"), _character_class("N")
WORD = re.compile(
    rf"'s|'t|'re|'ve|'m|'ll|'d| ?[{_LETTER}]+| ?[{_NUMBER}]+| ?[^\s{_LETTER}{_NUMBER}]+|\s+(?!\S)|\s+"
)
SPECIAL = re.compile("(" + "|".join(re.escape(special) for special in SPECIALS) + ")")


def _byte_characters():
    """GPT-2's table: a printable character for each byte."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table, spare = {}, 256
    for byte in range(256):
        if byte in plain:
            table[byte] = chr(byte)
        else:
            table[byte], spare = chr(spare), spare + 1
    return table


BYTE_TO_CHARACTER = _byte_characters()
CHARACTER_TO_BYTE = {character: byte for byte, character in BYTE_TO_CHARACTER.items()}
SPACE = BYTE_TO_CHARACTER[ord(" ")]
DIGITS = frozenset("0123456789")


def _spell(word):
    return tuple(BYTE_TO_CHARACTER[byte] for byte in word.encode("utf-8"))


def _may_merge(left, right):
    is_name = left == SPACE and right[0].isupper()
    return not (is_name or DIGITS & set(left) or DIGITS & set(right))


def learn(texts, vocab_size):
    """Merges, most useful first. Ties go to the pair that sorts first, so that a run repeats."""
    counts = Counter(word for text in texts for word in WORD.findall(text))
    words = sorted((word, count) for word, count in counts.items() if count > 1)
    pieces = [list(_spell(word)) for word, _ in words]
    weight = [count for _, count in words]

    pairs, where = Counter(), defaultdict(set)
    for index, spelled in enumerate(pieces):
        for pair in zip(spelled, spelled[1:]):
            pairs[pair] += weight[index]
            where[pair].add(index)
    queue = [(-count, pair) for pair, count in pairs.items() if _may_merge(*pair)]
    heapq.heapify(queue)

    merges, known = [], set(BYTE_TO_CHARACTER.values()) | set(SPECIALS)
    while queue and len(known) < vocab_size:
        count, pair = heapq.heappop(queue)
        if pairs[pair] != -count or count == 0:
            continue
        joined = pair[0] + pair[1]
        merges.append(pair)
        known.add(joined)
        changed = set()
        for index in where.pop(pair):
            spelled = pieces[index]
            for old in zip(spelled, spelled[1:]):
                pairs[old] -= weight[index]
                changed.add(old)
            spelled = _join(spelled, pair, joined)
            pieces[index] = spelled
            for new in zip(spelled, spelled[1:]):
                pairs[new] += weight[index]
                where[new].add(index)
                changed.add(new)
        for touched in changed:
            if pairs[touched] > 0 and _may_merge(*touched):
                heapq.heappush(queue, (-pairs[touched], touched))
    return merges


def _join(spelled, pair, joined):
    result, at = [], 0
    while at < len(spelled):
        if at + 1 < len(spelled) and spelled[at] == pair[0] and spelled[at + 1] == pair[1]:
            result.append(joined)
            at += 2
        else:
            result.append(spelled[at])
            at += 1
    return result


class Tokenizer:
    """Ids: the special tokens, then the 256 bytes, then one per merge."""

    def __init__(self, merges):
        self.merges = [tuple(merge) for merge in merges]
        self.rank = {merge: index for index, merge in enumerate(self.merges)}
        joined = [left + right for left, right in self.merges]
        self.tokens = [*SPECIALS, *BYTE_TO_CHARACTER.values(), *joined]
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        assert len(self.ids) == len(self.tokens), "two merges give the same token"
        self.cache = {}

    def __len__(self):
        return len(self.tokens)

    def _word(self, word):
        known = self.cache.get(word)
        if known is not None:
            return known
        spelled = list(_spell(word))
        while len(spelled) > 1:
            best = min(zip(spelled, spelled[1:]), key=lambda pair: self.rank.get(pair, 1 << 30))
            if best not in self.rank:
                break
            spelled = _join(spelled, best, best[0] + best[1])
        ids = [self.ids[piece] for piece in spelled]
        self.cache[word] = ids
        return ids

    def encode(self, text):
        """Plain text to ids; the names of special tokens inside it count as plain text."""
        return [token for word in WORD.findall(text) for token in self._word(word)]

    def encode_rendered(self, text):
        """Like `encode`, but the special tokens' names become their ids (rendered templates)."""
        ids = []
        for part in SPECIAL.split(text):
            ids += [self.ids[part]] if part in SPECIALS else self.encode(part)
        return ids

    def decode(self, ids):
        """Ids to text; special tokens are left out."""
        letters = "".join(self.tokens[token] for token in ids if token >= len(SPECIALS))
        return bytes(CHARACTER_TO_BYTE[letter] for letter in letters).decode("utf-8", "replace")

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.merges, file, ensure_ascii=False)

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as file:
            return cls(json.load(file))

    def hugging_face(self):
        """The content of `tokenizer.json`."""
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": index, "content": token, **flags} for index, token in enumerate(SPECIALS)],
            "normalizer": None,
            "pre_tokenizer": byte_level,
            "post_processor": None,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": self.ids,
                "merges": [f"{left} {right}" for left, right in self.merges],
            },
        }
