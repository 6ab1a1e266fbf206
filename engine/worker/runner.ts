/**
 * One model on one device: a session, its KV arena, and the two kinds of run. Blocking; lives in a worker.
 *
 * Batch invariance: some kernels round a row differently by how many there are, so the runner tries out when it is made
 * how far runs have to be filled up (padding.ts). A decode run is filled up with the slots behind its rows, a chunk with
 * tokens behind its last. What that writes lies beyond a slot's last position, and is overwritten before it is read.
 *
 * A graph that was exported elsewhere may not keep rows of different lengths apart. That is tried out as well, and where
 * a neighbour's length shows, every row is run alone.
 */
import { createHash } from "node:crypto";
import { assert } from "../core/assert.ts";
import type { GraphLayout } from "../core/model.ts";
import { createFeeds } from "./feeds/create.ts";
import { type GraphFeeds, WANTED_ROWS_MAX } from "./feeds/feeds.ts";
import { type SharedChunk, SharedFeeds } from "./feeds/shared.ts";
import { type ArenaShape, KvArena } from "./kv-arena.ts";
import { OrtSession, type SessionOptions } from "./ort/session.ts";
import { choosePad, LARGEST_PADDING, NO_PAD, PAD_MAX, type Padding, padAll, padTo } from "./padding.ts";

export { WANTED_ROWS_MAX };

export interface RunnerOptions {
  readonly graphPath: string;
  /** What the graph takes and gives; without it the graph is one of weir's own. */
  readonly layout?: GraphLayout | undefined;
  /** The graph for shared steps, where there is one: rows and a chunk in one run. */
  readonly sharedGraphPath?: string | undefined;
  readonly arena: ArenaShape;
  /** Tokens of the longest chunk. */
  readonly chunkTokensMax: number;
  readonly session: SessionOptions;
}

const EMPTY_SLOT_TOKEN = 0;

/** The trial at start: tokens of made-up context, rows that are run together, and tokens of a long chunk. */
const TRIAL_CONTEXT = 700;
const TRIAL_ROWS = 6;
const TRIAL_CHUNK = 36;
/** How much longer than the row that is watched its neighbour is, in tokens. */
const TRIAL_LONGER = 37;

/** The same for shared runs: numbers of rows, and the chunk's length. */
const SHARED_TRIAL_ROWS = [1, 2, 4];
const SHARED_TRIAL_CHUNK = 8;

/** Whether decode rows share a run: `alone` where a graph lets a neighbour's length into a row's logits. */
export type DecodeRows = "together" | "alone";

export class DecoderRunner {
  readonly #session: OrtSession;
  readonly #arena: KvArena;
  readonly #shape: ArenaShape;
  readonly #feeds: GraphFeeds;
  /** Positions written in each slot: where padding may write. */
  readonly #written: Int32Array;
  #shared: { readonly session: OrtSession; readonly feeds: SharedFeeds } | undefined;
  #padding: Padding = LARGEST_PADDING;
  #decodeRows: DecodeRows = "together";

  constructor(options: RunnerOptions) {
    const { arena, layout = { kind: "compiled" } } = options;
    assert(arena.slots >= 2, "an arena needs a second slot to pad a lone row");
    this.#shape = arena;
    this.#arena = new KvArena(arena);
    this.#session = new OrtSession(options.graphPath, options.session);
    const chunkTokensMax = Math.max(TRIAL_CHUNK, roundUp(options.chunkTokensMax, PAD_MAX));
    const own = { arena: this.#arena, shape: arena, chunkTokensMax };
    this.#feeds = createFeeds(layout, { ...own, session: this.#session });
    this.#written = new Int32Array(arena.slots);
    this.#padding = this.#tryPadding();
    if (layout.kind === "masked") this.#decodeRows = this.#tryNeighbours();
    if (options.sharedGraphPath !== undefined) {
      const session = new OrtSession(options.sharedGraphPath, options.session);
      this.#shared = { session, feeds: new SharedFeeds({ ...own, session }) };
      if (!this.#sharedAgrees(options.chunkTokensMax)) this.#closeShared();
    }
  }

  /** How far runs are filled up for the sake of batch invariance. */
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
    const rows = Math.min(this.#shape.slots, padTo(count, this.#padding.decodeRows));
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
    const { multiple } = this.#padding.chunkTokens;
    const piece = Math.floor(this.#feeds.pieceTokensMax / multiple) * multiple;
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

  /** True where so many rows and so long a chunk can go through one run and give the same bits as two. */
  canShare(rows: number, chunkTokens: number): boolean {
    const { decodeRows } = this.#padding;
    const total = rows + padTo(chunkTokens, this.#padding.chunkTokens);
    const even = [decodeRows, this.#padding.chunkTokens].every((pad) => padTo(total, pad) === total);
    // Filling up the rows could write into the chunk's slot.
    return this.#shared !== undefined && rows > 0 && padTo(rows, decodeRows) === rows && even;
  }

  /**
   * decode() and prefill() in one run; only where canShare() says so. Returns the rows' logits and, where it is wanted,
   * that of the chunk's last token.
   */
  share(
    tokens: readonly number[],
    positions: readonly number[],
    chunk: SharedChunk,
    wantsLast: boolean,
  ): { readonly rows: readonly Float32Array[]; readonly last: Float32Array | undefined } {
    assert(this.#shared !== undefined, "a run was to be shared without a graph for it");
    assert(chunk.slot >= tokens.length, `the chunk's slot ${chunk.slot} is one of the ${tokens.length} rows`);
    const count = padTo(chunk.tokens.length, this.#padding.chunkTokens);
    const reach = Math.max(chunk.start + count - 1, ...positions);
    assert(reach < this.#shape.capacity, `position ${reach} is beyond the slot's ${this.#shape.capacity}`);
    const rows = [...tokens.keys()];
    const wanted = wantsLast ? [...rows, tokens.length + chunk.tokens.length - 1] : rows;
    const asked = padTo(padTo(wanted.length, this.#padding.decodeRows), this.#padding.wantedRows);
    for (const [row, position] of positions.entries()) this.#written[row] = position + 1;
    this.#written[chunk.slot] = chunk.start + chunk.tokens.length;
    const padded = { ...chunk, tokens: filled(chunk.tokens, count, EMPTY_SLOT_TOKEN) };
    const logits = this.#shared.feeds.run(tokens, positions, padded, filled(wanted, asked, 0));
    return { rows: logits.slice(0, rows.length), last: wantsLast ? logits[rows.length] : undefined };
  }

  move(from: number, to: number, tokens: number): void {
    this.#arena.move(from, to, tokens);
    this.#written[to] = tokens;
    this.#written[from] = 0;
  }

  /** The slot is free, or its next prompt starts at position 0. */
  clear(slotIndex: number): void {
    this.#written[slotIndex] = 0;
  }

  largest(layer: number, part: 0 | 1, slotIndex: number, tokens: number): number {
    return this.#arena.largest(layer, part, slotIndex, tokens);
  }

  close(): void {
    this.#closeShared();
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
    const count = padTo(tokens.length, this.#padding.chunkTokens);
    assert(
      start + count <= this.#shape.capacity,
      `a chunk up to ${start + count} is beyond the slot's ${this.#shape.capacity}`,
    );
    const padded = filled(tokens, count, EMPTY_SLOT_TOKEN);
    const [first] = wanted;
    const asked =
      first === undefined ? wanted : filled(wanted, padTo(wanted.length, this.#padding.wantedRows), first);
    this.#written[slotIndex] = start + tokens.length;
    return this.#feeds.prefill(slotIndex, start, padded, asked).slice(0, wanted.length);
  }

  /**
   * Runs the same rows in different numbers, for each kind of run. The first one stands behind a long context of random
   * keys and values: some attention kernels only split their work once there is enough of it.
   */
  #tryPadding(): Padding {
    const { capacity, slots } = this.#shape;
    const { pieceTokensMax } = this.#feeds;
    const long = Math.min(TRIAL_CHUNK, pieceTokensMax - (pieceTokensMax % PAD_MAX));
    const start = Math.min(TRIAL_CONTEXT, capacity - TRIAL_CHUNK - PAD_MAX);
    if (start < 1) return LARGEST_PADDING;
    this.#padding = padAll(NO_PAD);
    this.#arena.scramble(0, start);
    // Spread over the vocabulary; Knuth's multiplicative hash.
    const token = (index: number): number => ((index + 1) * 2_654_435_761) % this.vocabSize;
    const tokens = Array.from({ length: TRIAL_CHUNK }, (_, index) => token(index));
    const places = [...Array(TRIAL_ROWS).keys()];

    const decoded = places.slice(0, slots).map((_, index) => {
      const rows = index + 1;
      const positions = places.slice(0, rows).map((row) => (row === 0 ? start : 0));
      return [rows, this.decode(tokens.slice(0, rows), positions).map(digestOf)] as const;
    });

    const total = Math.min(TRIAL_ROWS, pieceTokensMax);
    const chunked = places.slice(0, total).map((_, index) => {
      const size = index + 1;
      const pieces = places.slice(0, Math.floor(total / size)).flatMap((piece) => {
        const from = piece * size;
        // As many rows through the head each time: what it does to them is tried below.
        const wanted = filled([...Array(size).keys()], total, 0);
        return this.prefill(0, start + from, tokens.slice(from, from + size), wanted)
          .slice(0, size)
          .map(digestOf);
      });
      return [size, pieces] as const;
    });
    if (long > total) {
      const rows = this.prefill(0, start, tokens.slice(0, long), places.slice(0, total));
      chunked.push([long, rows.map(digestOf)]);
    }

    const wanted = places.slice(0, total).map((_, index) => {
      const last = places.slice(total - index - 1, total).reverse();
      return [index + 1, this.prefill(0, start, tokens.slice(0, total), last).map(digestOf)] as const;
    });
    this.#written.fill(0);
    return {
      decodeRows: choosePad(new Map(decoded)),
      chunkTokens: choosePad(new Map(chunked)),
      wantedRows: choosePad(new Map(wanted)),
    };
  }

  /** Runs rows and a chunk apart and together, behind long contexts: the logits must be the same bits. */
  #sharedAgrees(chunkTokensMax: number): boolean {
    const { capacity, slots } = this.#shape;
    const start = Math.min(TRIAL_CONTEXT, capacity - TRIAL_CHUNK - PAD_MAX);
    const count = Math.min(SHARED_TRIAL_CHUNK, chunkTokensMax);
    const sizes = SHARED_TRIAL_ROWS.filter((rows) => rows < slots && this.canShare(rows, count));
    if (start < 1 || sizes.length === 0) return false;
    for (let slotIndex = 0; slotIndex <= Math.max(...sizes); slotIndex += 1)
      this.#arena.scramble(slotIndex, start);
    const tokens = Array.from({ length: count }, (_, index) => (index * 7_919 + 3) % this.vocabSize);
    const agrees = sizes.every((rows) => {
      const ids = Array.from({ length: rows }, (_, row) => tokens[row % count] as number);
      const positions = ids.map((_, row) => start - 5 * row - 1).map((position) => Math.max(0, position));
      const apart = [
        ...this.decode(ids, positions).map(digestOf),
        ...this.prefill(rows, start, tokens, [count - 1]).map(digestOf),
      ];
      const { rows: decoded, last } = this.share(ids, positions, { slot: rows, start, tokens }, true);
      return [...decoded, last as Float32Array].every((row, index) => digestOf(row) === apart[index]);
    });
    this.#written.fill(0);
    return agrees;
  }

  #closeShared(): void {
    this.#shared?.session.close();
    this.#shared?.feeds.close();
    this.#shared = undefined;
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

const roundUp = (count: number, multiple: number): number => Math.ceil(count / multiple) * multiple;

/** The list, with as many of `filler` behind it as it takes. */
const filled = (list: readonly number[], length: number, filler: number): readonly number[] =>
  list.length >= length ? list : [...list, ...Array.from({ length: length - list.length }, () => filler)];

const digestOf = (row: Float32Array): string => createHash("sha256").update(bytesOf(row)).digest("base64");

const copyOf = (row: Float32Array): Float32Array => row.slice();

const bytesOf = (row: Float32Array): Uint8Array =>
  new Uint8Array(row.buffer, row.byteOffset, row.byteLength).slice();
