/**
 * Feeds of the graph for shared steps: decode rows and one slot's chunk in a single run, so that the weights are read once
 * for both (models/compile/decoder.ts states the shapes).
 */
import type { ArenaShape, KvArena } from "../kv-arena.ts";
import type { Binding, OrtSession, Tensor } from "../ort/session.ts";
import { type FeedsOptions, WANTED_ROWS_MAX } from "./feeds.ts";
import { ShapedTensors } from "./shaped-tensors.ts";

export interface SharedChunk {
  readonly slot: number;
  readonly start: number;
  readonly tokens: readonly number[];
}

export interface SharedFeedsOptions extends FeedsOptions {
  /** The f32 arena of one slot that chunks have where the rows' is int8; without it a chunk's slot is one of the rows' arena. */
  readonly stage: KvArena | undefined;
}

export class SharedFeeds {
  readonly #session: OrtSession;
  readonly #arena: KvArena;
  readonly #stage: KvArena | undefined;
  readonly #shape: ArenaShape;
  readonly #ids: BigInt64Array<ArrayBuffer>;
  readonly #split: BigInt64Array<ArrayBuffer>;
  readonly #lengths: Int32Array<ArrayBuffer>;
  readonly #total: Int32Array<ArrayBuffer>;
  readonly #chunkLength: Int32Array<ArrayBuffer>;
  readonly #chunkTotal: Int32Array<ArrayBuffer>;
  readonly #wanted: BigInt64Array<ArrayBuffer>;
  readonly #logits: Float32Array<ArrayBuffer>;
  readonly #tensors: Readonly<
    Record<
      "ids" | "split" | "lengths" | "total" | "chunkLength" | "chunkTotal" | "wanted" | "logits",
      ShapedTensors
    >
  >;
  /** By rows and by the chunk's slot. */
  readonly #bindings = new Map<string, Binding>();

  constructor({ session, arena, shape, chunkTokensMax, stage }: SharedFeedsOptions) {
    this.#session = session;
    this.#arena = arena;
    this.#shape = shape;
    this.#stage = stage;
    // The rows, what is wanted of the chunk, and what fills them up.
    const rows = 2 * shape.slots + WANTED_ROWS_MAX;
    this.#ids = new BigInt64Array(new ArrayBuffer(8 * (shape.slots + chunkTokensMax)));
    this.#split = new BigInt64Array(new ArrayBuffer(16));
    this.#lengths = new Int32Array(new ArrayBuffer(4 * shape.slots));
    this.#total = new Int32Array(new ArrayBuffer(4));
    this.#chunkLength = new Int32Array(new ArrayBuffer(4));
    this.#chunkTotal = new Int32Array(new ArrayBuffer(4));
    this.#wanted = new BigInt64Array(new ArrayBuffer(8 * rows));
    this.#logits = new Float32Array(new ArrayBuffer(4 * rows * shape.geometry.vocabSize));
    this.#tensors = {
      ids: new ShapedTensors(this.#ids.buffer, "int64"),
      split: new ShapedTensors(this.#split.buffer, "int64"),
      lengths: new ShapedTensors(this.#lengths.buffer, "int32"),
      total: new ShapedTensors(this.#total.buffer, "int32"),
      chunkLength: new ShapedTensors(this.#chunkLength.buffer, "int32"),
      chunkTotal: new ShapedTensors(this.#chunkTotal.buffer, "int32"),
      wanted: new ShapedTensors(this.#wanted.buffer, "int64"),
      logits: new ShapedTensors(this.#logits.buffer, "float32"),
    };
  }

  /**
   * A token for each of the slots 0 .. tokens.length - 1, at `positions`, and the chunk. `wanted` are indices into the
   * rows followed by the chunk's tokens; returns their rows of logits, overwritten by the next run.
   */
  run(
    tokens: readonly number[],
    positions: readonly number[],
    chunk: SharedChunk,
    wanted: readonly number[],
  ): readonly Float32Array[] {
    const rows = tokens.length;
    const count = chunk.tokens.length;
    for (const [index, token] of [...tokens, ...chunk.tokens].entries()) this.#ids[index] = BigInt(token);
    this.#split[0] = BigInt(rows);
    this.#split[1] = BigInt(count);
    this.#lengths.set(positions);
    this.#total[0] = Math.max(...positions) + 1;
    this.#chunkLength[0] = chunk.start + count - 1;
    this.#chunkTotal[0] = chunk.start + count;
    for (const [index, row] of wanted.entries()) this.#wanted[index] = BigInt(row);
    const width = this.#shape.geometry.vocabSize;
    const binding = this.#binding(rows, chunk.slot);
    binding.input("input_ids", this.#tensors.ids.of(1, rows + count));
    binding.input("logit_rows", this.#tensors.wanted.of(wanted.length));
    binding.output("logits", this.#tensors.logits.of(1, wanted.length, width));
    binding.run();
    return wanted.map((_, row) => this.#logits.subarray(row * width, (row + 1) * width));
  }

  close(): void {
    for (const tensors of Object.values(this.#tensors)) tensors.close();
  }

  #binding(rows: number, slotIndex: number): Binding {
    const key = this.#stage === undefined ? `${rows},${slotIndex}` : `${rows}`;
    const known = this.#bindings.get(key);
    if (known !== undefined) return known;
    const binding = this.#session.createBinding();
    binding.input("split", this.#tensors.split.of(2));
    binding.input("seqlens_k", this.#tensors.lengths.of(rows));
    binding.input("total_sequence_length", this.#tensors.total.of());
    binding.input("chunk_seqlens_k", this.#tensors.chunkLength.of(1));
    binding.input("chunk_total_sequence_length", this.#tensors.chunkTotal.of());
    this.#bindCache(binding, "", this.#arena.view(0, rows));
    this.#bindCache(binding, "chunk_", this.#stage?.view(0, 1) ?? this.#arena.view(slotIndex, 1));
    this.#bindings.set(key, binding);
    return binding;
  }

  #bindCache(binding: Binding, side: string, cache: readonly Tensor[]): void {
    for (const [index, tensor] of cache.entries()) {
      const name = `${index >> 1}.${index % 2 === 0 ? "key" : "value"}`;
      binding.input(`${side}past.${name}`, tensor);
      binding.output(`${side}present.${name}`, tensor);
    }
  }
}
