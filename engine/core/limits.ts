/** Every bound of one lane's scheduler, checked against each other once, before the first request. */
import { assert } from "./assert.ts";

export interface LaneLimits {
  /** Sequences that hold a slot at the same time. */
  readonly rowsMax: number;
  /** Tokens a slot can hold: prompt and answer of one sequence. */
  readonly slotTokens: number;
  /** Tokens computed in one step: decode rows and the prefill chunk together. */
  readonly stepTokensMax: number;
  /** The longest prefill chunk, in tokens. */
  readonly chunkTokensMax: number;
  /** The shortest prefill chunk that a step takes while rows are decoding; steps in which it does not fit have none. */
  readonly chunkTokensMin: number;
  /**
   * While a prompt is read, p95 of the time between two tokens of a running row stays within this many times what it was
   * before; chunks are sized from measured times to keep to it. Where further prompts wait for free slots, it may grow
   * to four times this.
   */
  readonly interTokenStretchMax: number;
  /** Sequences waiting for a slot; one more is refused with `overloaded`. */
  readonly waitingMax: number;
  /** A waiting sequence gains one priority level each time it has waited this long, so that nobody starves. */
  readonly agingMs: number;
  /** From arrival to the last token. */
  readonly requestTimeoutMs: number;
}

export function checkLaneLimits(limits: LaneLimits): void {
  for (const [name, value] of Object.entries(limits)) {
    assert(Number.isFinite(value) && value > 0, `limit ${name} must be a positive number, it is ${value}`);
  }
  assert(
    limits.stepTokensMax >= limits.rowsMax,
    "stepTokensMax must be at least rowsMax: each row needs a token per step",
  );
  assert(limits.chunkTokensMax >= limits.chunkTokensMin, "chunkTokensMax must be at least chunkTokensMin");
  assert(limits.chunkTokensMax <= limits.stepTokensMax, "chunkTokensMax must fit into stepTokensMax");
  assert(limits.slotTokens >= 2, "a slot must hold a prompt token and an answer token");
  assert(limits.interTokenStretchMax > 1, "interTokenStretchMax must be above 1: a chunk takes some time");
}

/** No run of the engine is filled up to more than the next multiple of this many rows or tokens. */
export const PAD_MAX = 4;
