/**
 * One step as data: a decode run over all running rows, and one chunk of the prompt that is being computed. There are no
 * phases behind this, only work left = tokens - computed: a row has one token left, a prompt has more or has no answer yet.
 */

import type { DecodeRow, PrefillChunk, SequenceOpening } from "../core/step.ts";
import type { LiveSequence } from "./live-sequence.ts";
import { slotOf } from "./live-sequence.ts";

/** `row` is running: its last token is the one that is not computed yet. */
export function decodeRow(row: LiveSequence): DecodeRow {
  const token = row.tokens[row.computed];
  if (token === undefined) throw new RangeError(`sequence ${row.id} has nothing left to compute`);
  return { sequence: row.id, slot: slotOf(row), token, position: row.computed };
}

/** The next `count` tokens of a prompt; `count` is at most what is left of it. */
export function prefillChunk(live: LiveSequence, count: number): PrefillChunk {
  const { prompt, promptLogprobs } = live.request;
  const start = live.computed;
  const end = start + count;
  return {
    sequence: live.id,
    slot: slotOf(live),
    start,
    tokens: prompt.slice(start, end),
    samples: end === prompt.length && live.answerMax > 0,
    score:
      promptLogprobs === undefined
        ? undefined
        : {
            targets: Array.from({ length: count }, (_, i) => prompt[start + i + 1]),
            alternatives: promptLogprobs,
          },
  };
}

export function opening(live: LiveSequence): SequenceOpening {
  const { sampling, logprobs, minTokens } = live.request;
  // Stop tokens end an answer as end tokens do, so minTokens holds back both.
  return { sequence: live.id, slot: slotOf(live), sampling, logprobs, endTokens: [...live.ends], minTokens };
}
