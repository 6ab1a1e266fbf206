/**
 * One step as data. There are no phases behind it, only work left = tokens - computed: a running row has one
 * token left, a prompt has more, or has no answer yet. Every step is
 *
 *   - one decode run over all running rows: nobody who runs ever skips a step;
 *   - one chunk of one prompt, whenever there is a prompt and a slot, until it is done (but for steps in which not
 *     even the shortest chunk fits, and one now and then that times the rows alone);
 *
 * within stepTokensMax. So a prompt's cost is spread over the steps of the others, and the chunk's size
 * (chunk-size.ts) decides between two wishes: the rows' time between tokens (small chunks) and the prompt's
 * time to its first token (large ones, since each chunk reads all weights and lays out all of the context anew). What
 * was considered, with decode = 9 ms + 1.6 ms a row and chunk = 8 ms + 1.2 ms a token, 4 rows, bound 2:
 *
 *   - Every step within the bound: 6 tokens a step, the 1,500-token prompt takes 4 times its time alone.
 *   - A chunk only in every second, third ... step, but a larger one: half, a third ... of the gaps are over the
 *     bound, so p95 is too, until it is one step in twenty; the gaps get rough and nothing is won before that point.
 *   - Every step within the bound, and one in about thirty far over it: p95 holds, and 3 times is in reach. This is what
 *     is done, and only where the first way is too slow for the prompt. Price: a few long gaps, of which the bench
 *     shows the longest.
 *
 * Measured on a 135M model in 4 bits with two threads, beside 4 rows that take 17 ms: at the prompt's beginning 8 tokens
 * add 13 ms to a step, behind 1,400 tokens 4 tokens add 28 ms, and 128 add 330. There the regular steps bring the first
 * half of the prompt and bursts most of the second (test/simulation/scheduler-latency.test.ts has the formulas).
 *
 * All this is about one prompt beside running rows. While more prompts wait and slots are free, throughput is at stake
 * too: 16 clients with 256-token prompts and 64-token answers would settle at 2 to 4 running rows, since rows finish as
 * fast as small chunks let new ones in. So the bound is stretched by 1 + waiting / rows, up to 4 times.
 *
 * Where both wishes cannot be had, the bound on the rows comes first, but a prompt never stands still: one step in
 * STEPS_PER_CHUNK_MAX has a chunk of at least chunkTokensMin tokens.
 */

import { AssertionError } from "../core/assert.ts";
import type { DecodeRow, PrefillChunk, SequenceOpening } from "../core/step.ts";
import type { LiveSequence } from "./live-sequence.ts";
import { slotOf } from "./live-sequence.ts";

/** `row` is running: its last token is the one that is not computed yet. */
export function decodeRow(row: LiveSequence): DecodeRow {
  const token = row.tokens[row.computed];
  if (token === undefined) throw new AssertionError(`sequence ${row.id} has nothing left to compute`);
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
