/**
 * Feeds of graphs that were exported elsewhere, in the layout of ORT GenAI and Transformers.js: `input_ids` and
 * `position_ids` int64 [batch, sequence], `attention_mask` int64 [batch, length], `past_key_values.N.key|value` and
 * `present.N.key|value` [batch, kvHeads, capacity, headDim], `logits` f32 [batch, sequence, vocabulary] of every position.
 *
 * Such graphs compute each row's length as the sum of its mask, and the largest length as the mask's width. A slot holds
 * its tokens from the left, so a row that is shorter than the longest has its ones at the left and zeros behind them.
 */

import { PAD_MAX } from "../../core/limits.ts";
import type { GraphLayout } from "../../core/model.ts";
import type { KvArena } from "../kv-arena.ts";
import { type Binding, type OrtSession, Tensor } from "../ort/session.ts";
import type { FeedsOptions, GraphFeeds } from "./feeds.ts";
import { ShapedTensors } from "./shaped-tensors.ts";

export type MaskedLayout = Extract<GraphLayout, { kind: "masked" }>;

/** A prefill run computes logits for each of its tokens: long chunks are cut so that they fit. */
const LOGITS_BYTES_MAX = 64 * 2 ** 20;
/** The mask has another width on each run, so its tensor is made anew. */
interface MaskedRun {
  readonly binding: Binding;
  mask: Tensor | undefined;
}

export class MaskedFeeds implements GraphFeeds {
  readonly pieceTokensMax: number;
  readonly #layout: MaskedLayout;
  readonly #session: OrtSession;
  readonly #arena: KvArena;
  readonly #vocabSize: number;
  readonly #ids: BigInt64Array<ArrayBuffer>;
  readonly #positions: BigInt64Array<ArrayBuffer>;
  readonly #mask: BigInt64Array<ArrayBuffer>;
  readonly #kept: BigInt64Array<ArrayBuffer>;
  readonly #logits: Float32Array<ArrayBuffer>;
  readonly #idTensors: ShapedTensors;
  readonly #positionTensors: ShapedTensors;
  readonly #keptTensors: ShapedTensors;
  readonly #logitTensors: ShapedTensors;
  /** By rows of a decode run, and by slot of a prefill run. */
  readonly #decodeRuns = new Map<number, MaskedRun>();
  readonly #chunkRuns = new Map<number, MaskedRun>();

  constructor(layout: MaskedLayout, { session, arena, shape, chunkTokensMax }: FeedsOptions) {
    const { slots, capacity, geometry } = shape;
    this.#layout = layout;
    this.#session = session;
    this.#arena = arena;
    this.#vocabSize = geometry.vocabSize;
    const affordable = Math.floor(LOGITS_BYTES_MAX / (4 * geometry.vocabSize));
    this.pieceTokensMax = Math.max(PAD_MAX, Math.min(affordable, chunkTokensMax));
    const tokens = Math.max(slots, this.pieceTokensMax);
    this.#ids = new BigInt64Array(new ArrayBuffer(8 * tokens));
    this.#positions = new BigInt64Array(new ArrayBuffer(8 * tokens));
    this.#mask = new BigInt64Array(new ArrayBuffer(8 * slots * capacity));
    this.#kept = new BigInt64Array(new ArrayBuffer(8));
    this.#logits = new Float32Array(new ArrayBuffer(4 * tokens * geometry.vocabSize));
    this.#idTensors = new ShapedTensors(this.#ids.buffer, "int64");
    this.#positionTensors = new ShapedTensors(this.#positions.buffer, "int64");
    this.#keptTensors = new ShapedTensors(this.#kept.buffer, "int64");
    this.#logitTensors = new ShapedTensors(this.#logits.buffer, "float32");
  }

  decode(tokens: readonly number[], positions: readonly number[]): readonly Float32Array[] {
    const rows = tokens.length;
    const width = Math.max(...positions) + 1;
    this.#mask.fill(0n, 0, rows * width);
    for (let row = 0; row < rows; row += 1) {
      const position = positions[row] as number;
      this.#ids[row] = BigInt(tokens[row] as number);
      this.#positions[row] = BigInt(position);
      this.#mask.fill(1n, row * width, row * width + position + 1);
    }
    const run = this.#runOf(this.#decodeRuns, rows, 0, rows);
    this.#start(run, [rows, 1], width, 1);
    return Array.from({ length: rows }, (_, row) => this.#logitsAt(row));
  }

  prefill(
    slotIndex: number,
    start: number,
    tokens: readonly number[],
    wanted: readonly number[],
  ): readonly Float32Array[] {
    const count = tokens.length;
    for (let i = 0; i < count; i += 1) {
      this.#ids[i] = BigInt(tokens[i] as number);
      this.#positions[i] = BigInt(start + i);
    }
    this.#mask.fill(1n, 0, start + count);
    const run = this.#runOf(this.#chunkRuns, slotIndex, slotIndex, 1);
    // Where the graph can, only the positions from the first wanted one on go through the head. Their number must not
    // show in their bits: a multiple of PAD_MAX does not, and all of a chunk are as many as it was filled up to.
    const needed = count - Math.min(...wanted, count);
    const kept = this.#layout.logitsToKeep
      ? Math.min(count, PAD_MAX * Math.max(1, Math.ceil(needed / PAD_MAX)))
      : count;
    this.#start(run, [1, count], start + count, kept);
    return wanted.map((index) => this.#logitsAt(index - (count - kept)));
  }

  close(): void {
    for (const run of [...this.#decodeRuns.values(), ...this.#chunkRuns.values()]) run.mask?.close();
    this.#idTensors.close();
    this.#positionTensors.close();
    this.#keptTensors.close();
    this.#logitTensors.close();
  }

  #logitsAt(row: number): Float32Array {
    return this.#logits.subarray(row * this.#vocabSize, (row + 1) * this.#vocabSize);
  }

  #runOf(runs: Map<number, MaskedRun>, key: number, from: number, count: number): MaskedRun {
    const known = runs.get(key);
    if (known !== undefined) return known;
    const binding = this.#session.createBinding();
    for (const [index, tensor] of this.#arena.view(from, count).entries()) {
      const name = `${index >> 1}.${index % 2 === 0 ? "key" : "value"}`;
      binding.input(`past_key_values.${name}`, tensor);
      binding.output(`present.${name}`, tensor);
    }
    const run: MaskedRun = { binding, mask: undefined };
    runs.set(key, run);
    return run;
  }

  /** `kept`: positions of each row that the logits are for, counted from its end. */
  #start(run: MaskedRun, [batch, sequence]: readonly [number, number], width: number, kept: number): void {
    const { binding, mask } = run;
    run.mask = new Tensor(this.#mask.buffer, 0, 8 * batch * width, [batch, width], "int64");
    binding.input("attention_mask", run.mask);
    mask?.close();
    binding.input("input_ids", this.#idTensors.of(batch, sequence));
    if (this.#layout.positionIds) binding.input("position_ids", this.#positionTensors.of(batch, sequence));
    if (this.#layout.logitsToKeep) {
      this.#kept[0] = BigInt(kept);
      binding.input("num_logits_to_keep", this.#keptTensors.of());
    }
    binding.output("logits", this.#logitTensors.of(batch, kept, this.#vocabSize));
    binding.run();
  }
}
