/**
 * One model on one device: a session, its KV arena, and the two kinds of run. Blocking; lives in a worker.
 *
 * Batch invariance: some kernels for a single row round differently from those for several (f32, 4-bit blocks of 64 or
 * 128), others do not (blocks of 32, 8-bit blocks of 64). Which hold depends on the processor, so the runner tries it out
 * when it is made. Where they differ, a lone decode row and a chunk of one token are padded to two. The padding writes
 * one position beyond a slot's last; it is overwritten before it is read.
 *
 * A graph that was exported elsewhere may not keep rows of different lengths apart. That is tried out as well, and where
 * a neighbour's length shows, every row is run alone.
 */
import { assert } from "../core/assert.ts";
import type { GraphLayout } from "../core/model.ts";
import { createFeeds } from "./feeds/create.ts";
import { type GraphFeeds, WANTED_ROWS_MAX } from "./feeds/feeds.ts";
import { type ArenaShape, KvArena } from "./kv-arena.ts";
import { OrtSession, type SessionOptions } from "./ort/session.ts";

export { WANTED_ROWS_MAX };

export interface RunnerOptions {
  readonly graphPath: string;
  /** What the graph takes and gives; without it the graph is one of weir's own. */
  readonly layout?: GraphLayout | undefined;
  readonly arena: ArenaShape;
  /** Tokens of the longest chunk. */
  readonly chunkTokensMax: number;
  readonly session: SessionOptions;
}

const EMPTY_SLOT_TOKEN = 0;

/** The trial at start: tokens of made-up context, and steps behind it whose logits must agree to the bit. */
const TRIAL_CONTEXT = 700;
const TRIAL_STEPS = 3;
/** How much longer than the row that is watched its neighbour is, in tokens. */
const TRIAL_LONGER = 37;

/** Least sizes of a run: 1, or 2 where the kernels for a single one round differently. */
export interface Padding {
  readonly decodeRows: 1 | 2;
  readonly chunkTokens: 1 | 2;
  /** Rows that go through the head. */
  readonly wantedRows: 1 | 2;
}

/** Whether decode rows share a run: `alone` where a graph lets a neighbour's length into a row's logits. */
export type DecodeRows = "together" | "alone";

export class DecoderRunner {
  readonly #session: OrtSession;
  readonly #arena: KvArena;
  readonly #shape: ArenaShape;
  readonly #feeds: GraphFeeds;
  /** Positions written in each slot: where padding may write. */
  readonly #written: Int32Array;
  #padding: Padding = { decodeRows: 2, chunkTokens: 2, wantedRows: 2 };
  #decodeRows: DecodeRows = "together";

  constructor(options: RunnerOptions) {
    const { arena, layout = { kind: "compiled" } } = options;
    assert(arena.slots >= 2, "an arena needs a second slot to pad a lone row");
    this.#shape = arena;
    this.#arena = new KvArena(arena);
    this.#session = new OrtSession(options.graphPath, options.session);
    this.#feeds = createFeeds(layout, {
      session: this.#session,
      arena: this.#arena,
      shape: arena,
      chunkTokensMax: options.chunkTokensMax,
    });
    this.#written = new Int32Array(arena.slots);
    this.#padding = this.#tryPadding();
    if (layout.kind === "masked") this.#decodeRows = this.#tryNeighbours();
  }

  /** How far single rows are padded for the sake of batch invariance. */
  get padding(): Padding {
    return this.#padding;
  }

  get decodeRows(): DecodeRows {
    return this.#decodeRows;
  }

  get vocabSize(): number {
    return this.#shape.geometry.vocabSize;
  }

  /**
   * One token for each of the slots 0 .. tokens.length - 1, at `positions` (= what the slot holds already).
   * Returns the rows of logits, [tokens.length, vocabSize]; the memory is overwritten by the next run.
   */
  decode(tokens: readonly number[], positions: readonly number[]): readonly Float32Array[] {
    if (this.#decodeRows === "alone") {
      return tokens.flatMap((token, row) =>
        this.prefill(row, positions[row] as number, [token], [0]).map(copyOf),
      );
    }
    const count = tokens.length;
    const rows = Math.max(this.#padding.decodeRows, count);
    const ids = [...tokens];
    const places = [...positions];
    for (let row = count; row < rows; row += 1) {
      ids.push(EMPTY_SLOT_TOKEN);
      places.push(this.#written[row] as number);
    }
    for (const [row, position] of places.entries()) {
      assert(
        position < this.#shape.capacity,
        `position ${position} is beyond the slot's ${this.#shape.capacity}`,
      );
      if (row < count) this.#written[row] = position + 1;
    }
    return this.#feeds.decode(ids, places).slice(0, count);
  }

  /**
   * Tokens of one prompt at positions start .. start + tokens.length - 1 of a slot. `wanted` are indices into `tokens`
   * (at most WANTED_ROWS_MAX, at least one); returns their rows of logits.
   */
  prefill(
    slotIndex: number,
    start: number,
    tokens: readonly number[],
    wanted: readonly number[],
  ): readonly Float32Array[] {
    assert(
      wanted.length >= 1 && wanted.length <= WANTED_ROWS_MAX,
      `${wanted.length} wanted rows are out of bounds`,
    );
    const piece = this.#feeds.pieceTokensMax;
    if (tokens.length <= piece) return this.#prefillPiece(slotIndex, start, tokens, wanted);
    const rows = new Map<number, Float32Array>();
    for (let from = 0; from < tokens.length; from += piece) {
      const here = wanted.filter((index) => index >= from && index < from + piece);
      const inPiece = here.map((index) => index - from);
      const found = this.#prefillPiece(slotIndex, start + from, tokens.slice(from, from + piece), inPiece);
      for (const [index, row] of found.entries()) rows.set(here[index] as number, copyOf(row));
    }
    return wanted.map((index) => rows.get(index) as Float32Array);
  }

  move(from: number, to: number, tokens: number): void {
    this.#arena.move(from, to, tokens);
    this.#written[to] = tokens;
  }

  /** The slot's next prompt starts at position 0. */
  clear(slotIndex: number): void {
    this.#written[slotIndex] = 0;
  }

  largest(layer: number, part: 0 | 1, slotIndex: number, tokens: number): number {
    return this.#arena.largest(layer, part, slotIndex, tokens);
  }

  close(): void {
    this.#session.close();
    this.#feeds.close();
    this.#arena.close();
  }

  #prefillPiece(
    slotIndex: number,
    start: number,
    tokens: readonly number[],
    wanted: readonly number[],
  ): readonly Float32Array[] {
    const count = Math.max(this.#padding.chunkTokens, tokens.length);
    assert(
      start + count <= this.#shape.capacity,
      `a chunk up to ${start + count} is beyond the slot's ${this.#shape.capacity}`,
    );
    const padded = tokens.length === count ? tokens : [...tokens, EMPTY_SLOT_TOKEN];
    // One wanted row is asked for twice, for the same reason as a lone decode row is padded.
    const [only] = wanted;
    const asked = only !== undefined && wanted.length < this.#padding.wantedRows ? [only, only] : wanted;
    this.#written[slotIndex] = start + tokens.length;
    return this.#feeds.prefill(slotIndex, start, padded, asked).slice(0, wanted.length);
  }

  /**
   * Runs the same tokens with and without padding, for each kind of run, behind a long context of random keys and
   * values: some attention kernels only split their work once there is enough of it.
   */
  #tryPadding(): Padding {
    const padAll: Padding = { decodeRows: 2, chunkTokens: 2, wantedRows: 2 };
    const start = Math.min(TRIAL_CONTEXT, this.#shape.capacity - TRIAL_STEPS - 2);
    if (start < 1) return padAll;
    this.#arena.scramble(0, start);
    // Spread over the vocabulary; Knuth's multiplicative hash.
    const token = (index: number): number => ((index + 1) * 2_654_435_761) % this.vocabSize;
    const trial = (padding: Padding): Buffer => {
      this.#padding = padding;
      const seen: Uint8Array[] = [];
      for (let position = start; position < start + TRIAL_STEPS; position += 1) {
        seen.push(...this.decode([token(position)], [position]).map(bytesOf));
        // The same position again, as a chunk.
        seen.push(...this.prefill(0, position, [token(position)], [0]).map(bytesOf));
      }
      return Buffer.concat(seen);
    };
    const padded = trial(padAll);
    const agrees = (changed: Partial<Padding>): boolean => trial({ ...padAll, ...changed }).equals(padded);
    const chosen: Padding = {
      decodeRows: agrees({ decodeRows: 1 }) ? 1 : 2,
      chunkTokens: agrees({ chunkTokens: 1 }) ? 1 : 2,
      wantedRows: agrees({ wantedRows: 1 }) ? 1 : 2,
    };
    this.#written.fill(0);
    return chosen;
  }

  /**
   * Runs a row beside one of its own length, which every graph of the layout is made for, then beside a longer and a
   * shorter one: its logits must be the same bits.
   */
  #tryNeighbours(): DecodeRows {
    const { capacity } = this.#shape;
    const own = Math.min(TRIAL_CONTEXT, capacity >> 1);
    const longer = Math.min(capacity - 1, own + TRIAL_LONGER);
    const shorter = own >> 1;
    if (shorter < 1 || longer <= own) return "alone";
    this.#arena.scramble(0, longer);
    this.#arena.scramble(1, longer);
    const [first, ...others] = [own, longer, shorter].map((length) =>
      Buffer.from(bytesOf(this.decode([0, 1], [own, length])[0] as Float32Array)),
    );
    this.#written.fill(0);
    return others.every((bytes) => first?.equals(bytes)) ? "together" : "alone";
  }
}

const copyOf = (row: Float32Array): Float32Array => row.slice();

const bytesOf = (row: Float32Array): Uint8Array =>
  new Uint8Array(row.buffer, row.byteOffset, row.byteLength).slice();
