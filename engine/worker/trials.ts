/**
 * What a runner tries out on its model when it is made: how far runs must be filled up so that a row's bits do not depend on
 * how many there are, whether shared runs give the bits of runs apart, and whether an exported graph keeps rows of
 * different lengths apart. Every trial stands behind a long context of made-up keys and values: some attention kernels
 * only split their work once there is enough of it.
 */
import { createHash } from "node:crypto";
import { PAD_MAX } from "../core/limits.ts";
import { choosePad, LARGEST_PADDING, NO_PAD, type Padding, padAll } from "./padding.ts";
import type { DecodeRows, DecoderRunner } from "./runner.ts";

export interface TrialSubject {
  readonly runner: DecoderRunner;
  readonly slots: number;
  readonly capacity: number;
  /** Tokens that one run of a chunk may bring. */
  readonly pieceTokensMax: number;
  usePadding(padding: Padding): void;
  /** Writes a made-up context into a slot. */
  scramble(slotIndex: number, tokens: number): void;
  /** Takes all slots for empty again. */
  forget(): void;
}

/** Tokens of made-up context, rows that are run together, and tokens of a long chunk. */
const TRIAL_CONTEXT = 700;
const TRIAL_ROWS = 6;
export const TRIAL_CHUNK = 36;
/** How much longer than the row that is watched its neighbour is, in tokens. */
const TRIAL_LONGER = 37;

/** For shared runs: numbers of rows, and the chunk's length beside them. */
const SHARED_TRIALS = [
  [1, 8],
  [2, 5],
  [4, 8],
  [7, 12],
] as const;

const contextOf = ({ capacity }: TrialSubject): number =>
  Math.min(TRIAL_CONTEXT, capacity - TRIAL_CHUNK - PAD_MAX);

/** Runs the same rows in different numbers, for each kind of run. */
export function tryPadding(subject: TrialSubject): Padding {
  const { runner, slots, pieceTokensMax } = subject;
  const long = Math.min(TRIAL_CHUNK, pieceTokensMax - (pieceTokensMax % PAD_MAX));
  const start = contextOf(subject);
  if (start < 1) return LARGEST_PADDING;
  subject.usePadding(padAll(NO_PAD));
  subject.scramble(0, start);
  // Spread over the vocabulary; Knuth's multiplicative hash.
  const token = (index: number): number => ((index + 1) * 2_654_435_761) % runner.vocabSize;
  const tokens = Array.from({ length: TRIAL_CHUNK }, (_, index) => token(index));
  const places = [...Array(TRIAL_ROWS).keys()];

  const decoded = places.slice(0, slots).map((_, index) => {
    const rows = index + 1;
    const positions = places.slice(0, rows).map((row) => (row === 0 ? start : 0));
    return [rows, runner.decode(tokens.slice(0, rows), positions).map(digestOf)] as const;
  });
  const decodeRows = choosePad(new Map(decoded));
  // A staged chunk has rows beside it, as many as a lone one is filled up to.
  subject.usePadding({ ...padAll(NO_PAD), decodeRows });

  const total = Math.min(TRIAL_ROWS, pieceTokensMax);
  const chunked = places.slice(0, total).map((_, index) => {
    const size = index + 1;
    const pieces = places.slice(0, Math.floor(total / size)).flatMap((piece) => {
      const from = piece * size;
      // As many rows through the head each time: what it does to them is tried below.
      const wanted = Array.from({ length: total }, (_, row) => (row < size ? row : 0));
      return runner
        .prefill(0, start + from, tokens.slice(from, from + size), wanted)
        .slice(0, size)
        .map(digestOf);
    });
    return [size, pieces] as const;
  });
  if (long > total) {
    const rows = runner.prefill(0, start, tokens.slice(0, long), places.slice(0, total));
    chunked.push([long, rows.map(digestOf)]);
  }

  const wanted = places.slice(0, total).map((_, index) => {
    const last = places.slice(total - index - 1, total).reverse();
    return [index + 1, runner.prefill(0, start, tokens.slice(0, total), last).map(digestOf)] as const;
  });
  subject.forget();
  return {
    decodeRows,
    chunkTokens: choosePad(new Map(chunked)),
    wantedRows: choosePad(new Map(wanted)),
  };
}

/** Runs rows and a chunk apart and together: the logits must be the same bits. */
export function sharedAgrees(subject: TrialSubject, chunkTokensMax: number): boolean {
  const { runner, slots } = subject;
  const start = contextOf(subject);
  const trials = SHARED_TRIALS.map(
    ([rows, count]) => [rows, Math.min(count, chunkTokensMax)] as const,
  ).filter(([rows, count]) => rows < slots && runner.canShare(rows, count));
  if (start < 1 || trials.length === 0) return false;
  const agrees = trials.every(([rows, count]) => {
    for (let slotIndex = 0; slotIndex <= rows; slotIndex += 1) subject.scramble(slotIndex, start);
    const tokens = Array.from({ length: count }, (_, index) => (index * 7_919 + 3) % runner.vocabSize);
    const ids = Array.from({ length: rows }, (_, row) => tokens[row % count] as number);
    const positions = ids.map((_, row) => Math.max(0, start - 5 * row - 1));
    const apart = [
      ...runner.decode(ids, positions).map(digestOf),
      ...runner.prefill(rows, start, tokens, [count - 1]).map(digestOf),
    ];
    const { rows: decoded, last } = runner.share(ids, positions, { slot: rows, start, tokens }, true);
    return [...decoded, last as Float32Array].every((row, index) => digestOf(row) === apart[index]);
  });
  subject.forget();
  return agrees;
}

/**
 * Runs a row beside one of its own length, which every graph of the layout is made for, then beside a longer and a
 * shorter one: its logits must be the same bits.
 */
export function tryNeighbours(subject: TrialSubject): DecodeRows {
  const { runner, capacity } = subject;
  const own = Math.min(TRIAL_CONTEXT, capacity >> 1);
  const longer = Math.min(capacity - 1, own + TRIAL_LONGER);
  const shorter = own >> 1;
  if (shorter < 1 || longer <= own) return "alone";
  subject.scramble(0, longer);
  subject.scramble(1, longer);
  const [first, ...others] = [own, longer, shorter].map((length) =>
    digestOf(runner.decode([0, 1], [own, length])[0] as Float32Array),
  );
  subject.forget();
  return others.every((digest) => digest === first) ? "together" : "alone";
}

const digestOf = (row: Float32Array): string =>
  createHash("sha256")
    .update(new Uint8Array(row.buffer, row.byteOffset, row.byteLength))
    .digest("base64");
