/** The two kinds of run of a graph, whatever its inputs are called: the port between the runner and a layout. */
import type { ArenaShape, KvArena } from "../kv-arena.ts";
import type { OrtSession } from "../ort/session.ts";

/** Rows of logits that a prefill run may ask for at once; bounds the logits buffer. */
export const WANTED_ROWS_MAX = 32;

/** Binds inputs, runs, and finds the logits. Rows that are returned are overwritten by the next run. */
export interface GraphFeeds {
  /** Tokens that one prefill run may bring. */
  readonly pieceTokensMax: number;
  /** A token for each of the slots 0 .. tokens.length - 1, at `positions`; a row of logits for each. */
  decode(tokens: readonly number[], positions: readonly number[]): readonly Float32Array[];
  /** Tokens at positions start .. of one slot; rows of logits for `wanted`, indices into `tokens`. */
  prefill(
    slotIndex: number,
    start: number,
    tokens: readonly number[],
    wanted: readonly number[],
  ): readonly Float32Array[];
  /** To be called when the session is closed: bindings point to what is freed here. */
  close(): void;
}

export interface FeedsOptions {
  readonly session: OrtSession;
  readonly arena: KvArena;
  readonly shape: ArenaShape;
  readonly chunkTokensMax: number;
}
