/**
 * One model on one device: a session, its KV arena, and the two kinds of run. Blocking; lives in a worker.
 *
 * Batch invariance: some kernels round a row differently by how many there are, so the runner tries out when it is made
 * how far runs have to be filled up (trials.ts). A decode run is filled up with the slots behind its rows, a chunk with
 * tokens behind its last. What that writes lies beyond a slot's last position, and is overwritten before it is read.
 *
 * With an int8 cache a prompt is read into an f32 stage first (prompt-stage.ts), always through the graph for shared steps:
 * where no row decodes, with a made-up one. So a chunk gives the same bits beside rows and without.
 *
 * A graph that was exported elsewhere may not keep rows of different lengths apart. That is tried out as well, and where
 * a neighbour's length shows, every row is run alone.
 */
import { assert } from "../core/assert.ts";
import { PAD_MAX } from "../core/limits.ts";
import type { CacheScale, GraphLayout } from "../core/model.ts";
import { createFeeds } from "./feeds/create.ts";
import { type FeedsOptions, type GraphFeeds, WANTED_ROWS_MAX } from "./feeds/feeds.ts";
import { type SharedChunk, SharedFeeds } from "./feeds/shared.ts";
import { type ArenaShape, KvArena } from "./kv-arena.ts";
import { OrtSession, type SessionOptions } from "./ort/session.ts";
import { LARGEST_PADDING, type Padding, padTo } from "./padding.ts";
import { PromptStage } from "./prompt-stage.ts";
import { sharedAgrees, TRIAL_CHUNK, type TrialSubject, tryNeighbours, tryPadding } from "./trials.ts";

export { WANTED_ROWS_MAX };

export interface RunnerOptions {
  readonly graphPath: string;
  /** What the graph takes and gives; without it the graph is one of weir's own. */
  readonly layout?: GraphLayout | undefined;
  /** The graph for shared steps, where there is one: rows and a chunk in one run. */
  readonly sharedGraphPath?: string | undefined;
  /** Of an int8 cache, one a layer: needed with `sharedGraphPath`. */
  readonly kvScales?: readonly CacheScale[] | undefined;
  readonly arena: ArenaShape;
  /** Tokens of the longest chunk. */
  readonly chunkTokensMax: number;
  readonly session: SessionOptions;
}

const EMPTY_SLOT_TOKEN = 0;

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
  #stage: PromptStage | undefined;
  #padding: Padding = LARGEST_PADDING;
  #decodeRows: DecodeRows = "together";

  constructor(options: RunnerOptions) {
    const { arena, layout = { kind: "compiled" } } = options;
    assert(arena.slots >= 2, "an arena needs a second slot to pad a lone row");
    this.#shape = arena;
    this.#arena = new KvArena(arena);
    this.#session = new OrtSession(options.graphPath, options.session);
    this.#written = new Int32Array(arena.slots);
    const chunkTokensMax = Math.max(TRIAL_CHUNK, roundUp(options.chunkTokensMax, PAD_MAX));
    const own = { arena: this.#arena, shape: arena, chunkTokensMax };
    this.#feeds = createFeeds(layout, { ...own, session: this.#session });
    try {
      if (options.sharedGraphPath === undefined || !this.#trySharing(options.sharedGraphPath, options, own)) {
        this.#padding = tryPadding(this.#subject());
        if (layout.kind === "masked") this.#decodeRows = tryNeighbours(this.#subject());
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** False where shared runs give other bits than runs apart: then there are none. */
  #trySharing(
    graphPath: string,
    { arena: shape, session: settings, chunkTokensMax, kvScales }: RunnerOptions,
    own: Omit<FeedsOptions, "session">,
  ): boolean {
    if (shape.precision === "int8") {
      assert(kvScales !== undefined, "an int8 cache was to be shared without its scales");
      this.#stage = new PromptStage(this.#arena, shape, kvScales);
    }
    const session = new OrtSession(graphPath, settings);
    this.#shared = {
      session,
      feeds: new SharedFeeds({ ...own, session, stage: this.#stage?.arena }),
    };
    this.#padding = tryPadding(this.#subject());
    if (sharedAgrees(this.#subject(), chunkTokensMax)) return true;
    this.#closeShared();
    return false;
  }

  /** How far runs are filled up for the sake of batch invariance. */
  get padding(): Padding {
    return this.#padding;
  }

  get decodeRows(): DecodeRows {
    return this.#decodeRows;
  }

  /** Whether prompts are read into a stage of their own. */
  get staged(): boolean {
    return this.#stage !== undefined;
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
    const run = padTo(rows, decodeRows);
    const total = run + padTo(chunkTokens, this.#padding.chunkTokens);
    const even = [decodeRows, this.#padding.chunkTokens].every((pad) => padTo(total, pad) === total);
    // Filling up the rows could write into the chunk's slot, which does no harm where the chunk stands on the stage.
    const apart = this.#stage === undefined ? run === rows : run <= this.#shape.slots;
    return this.#shared !== undefined && rows > 0 && apart && even;
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
    const rows = [...tokens.keys()];
    const run = padTo(tokens.length, this.#padding.decodeRows);
    const wanted = wantsLast ? [...rows, run + chunk.tokens.length - 1] : rows;
    const asked = padTo(padTo(wanted.length, this.#padding.decodeRows), this.#padding.wantedRows);
    const logits = this.#runShared(this.#shared.feeds, tokens, positions, chunk, filled(wanted, asked, 0));
    for (const [row, position] of positions.entries()) this.#written[row] = position + 1;
    return { rows: logits.slice(0, rows.length), last: wantsLast ? logits[rows.length] : undefined };
  }

  move(from: number, to: number, tokens: number): void {
    this.#arena.move(from, to, tokens);
    this.#stage?.move(from, to);
    this.#written[to] = tokens;
    this.#written[from] = 0;
  }

  /** The slot is free, or its next prompt starts at position 0. */
  clear(slotIndex: number): void {
    this.#written[slotIndex] = 0;
    this.#stage?.clear(slotIndex);
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
    const [first] = wanted;
    const asked =
      first === undefined ? wanted : filled(wanted, padTo(wanted.length, this.#padding.wantedRows), first);
    if (this.#stage !== undefined && this.#shared !== undefined) {
      const rows = padTo(1, this.#padding.decodeRows);
      const behind = asked.map((index) => rows + index);
      const chunk = { slot: slotIndex, start, tokens };
      return this.#runShared(
        this.#shared.feeds,
        [EMPTY_SLOT_TOKEN],
        [this.#written[0] as number],
        chunk,
        behind,
      ).slice(0, wanted.length);
    }
    const count = padTo(tokens.length, this.#padding.chunkTokens);
    assert(
      start + count <= this.#shape.capacity,
      `a chunk up to ${start + count} is beyond the slot's ${this.#shape.capacity}`,
    );
    const padded = filled(tokens, count, EMPTY_SLOT_TOKEN);
    this.#written[slotIndex] = start + tokens.length;
    return this.#feeds.prefill(slotIndex, start, padded, asked).slice(0, wanted.length);
  }

  /** `wanted` are indices into the rows, filled up, followed by the chunk's tokens. */
  #runShared(
    feeds: SharedFeeds,
    tokens: readonly number[],
    positions: readonly number[],
    chunk: SharedChunk,
    wanted: readonly number[],
  ): readonly Float32Array[] {
    const { chunkTokens, decodeRows } = this.#padding;
    const count = padTo(chunk.tokens.length, chunkTokens);
    const rows = padTo(tokens.length, decodeRows);
    const behind = this.#written.subarray(tokens.length, rows);
    const places = [...positions, ...behind];
    const reach = Math.max(chunk.start + count - 1, ...places);
    assert(reach < this.#shape.capacity, `position ${reach} is beyond the slot's ${this.#shape.capacity}`);
    this.#stage?.open(chunk.slot, chunk.start);
    const logits = feeds.run(
      filled(tokens, rows, EMPTY_SLOT_TOKEN),
      places,
      { ...chunk, tokens: filled(chunk.tokens, count, EMPTY_SLOT_TOKEN) },
      wanted,
    );
    this.#stage?.close(chunk.tokens.length);
    this.#written[chunk.slot] = chunk.start + chunk.tokens.length;
    return logits;
  }

  #closeShared(): void {
    this.#shared?.session.close();
    this.#shared?.feeds.close();
    this.#shared = undefined;
    this.#stage?.release();
    this.#stage = undefined;
  }

  /** What trials may do that nobody else may. */
  #subject(): TrialSubject {
    return {
      runner: this,
      slots: this.#shape.slots,
      capacity: this.#shape.capacity,
      pieceTokensMax: this.#feeds.pieceTokensMax,
      usePadding: (padding) => {
        this.#padding = padding;
      },
      scramble: (slotIndex, tokens) => {
        this.#arena.scramble(slotIndex, tokens);
        this.#stage?.scramble(slotIndex, tokens);
      },
      forget: () => this.#written.fill(0),
    };
  }
}

const roundUp = (count: number, multiple: number): number => Math.ceil(count / multiple) * multiple;

/** The list, with as many of `filler` behind it as it takes. */
const filled = (list: readonly number[], length: number, filler: number): readonly number[] =>
  list.length >= length ? list : [...list, ...Array.from({ length: length - list.length }, () => filler)];

const copyOf = (row: Float32Array): Float32Array => row.slice();
