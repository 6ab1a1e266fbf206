/**
 * Feeds of the graphs that weir compiles: each row's length, the largest length, and which positions go through the head
 * (models/compile/decoder.ts states the shapes).
 */
import type { ArenaShape, KvArena } from "../kv-arena.ts";
import type { Binding, OrtSession } from "../ort/session.ts";
import { type FeedsOptions, type GraphFeeds, WANTED_ROWS_MAX } from "./feeds.ts";
import { ShapedTensors } from "./shaped-tensors.ts";

export class CompiledFeeds implements GraphFeeds {
  readonly pieceTokensMax = Number.POSITIVE_INFINITY;
  readonly #session: OrtSession;
  readonly #arena: KvArena;
  readonly #vocabSize: number;
  readonly #ids: BigInt64Array<ArrayBuffer>;
  readonly #lengths: Int32Array<ArrayBuffer>;
  readonly #total: Int32Array<ArrayBuffer>;
  readonly #wanted: BigInt64Array<ArrayBuffer>;
  readonly #logits: Float32Array<ArrayBuffer>;
  readonly #idTensors: ShapedTensors;
  readonly #lengthTensors: ShapedTensors;
  readonly #totalTensors: ShapedTensors;
  readonly #wantedTensors: ShapedTensors;
  readonly #logitTensors: ShapedTensors;
  /** By rows of a decode run, and by slot of a prefill run. */
  readonly #decodeBindings = new Map<number, Binding>();
  readonly #chunkBindings = new Map<number, Binding>();

  constructor({ session, arena, shape, chunkTokensMax }: FeedsOptions) {
    this.#session = session;
    this.#arena = arena;
    this.#vocabSize = shape.geometry.vocabSize;
    const rows = logitRowsOf(shape);
    this.#ids = new BigInt64Array(new ArrayBuffer(8 * Math.max(rows, chunkTokensMax + 1)));
    this.#lengths = new Int32Array(new ArrayBuffer(4 * shape.slots));
    this.#total = new Int32Array(new ArrayBuffer(4));
    this.#wanted = new BigInt64Array(new ArrayBuffer(8 * rows));
    this.#logits = new Float32Array(new ArrayBuffer(4 * rows * this.#vocabSize));
    this.#idTensors = new ShapedTensors(this.#ids.buffer, "int64");
    this.#lengthTensors = new ShapedTensors(this.#lengths.buffer, "int32");
    this.#totalTensors = new ShapedTensors(this.#total.buffer, "int32");
    this.#wantedTensors = new ShapedTensors(this.#wanted.buffer, "int64");
    this.#logitTensors = new ShapedTensors(this.#logits.buffer, "float32");
  }

  decode(tokens: readonly number[], positions: readonly number[]): readonly Float32Array[] {
    const rows = tokens.length;
    let total = 0;
    for (let row = 0; row < rows; row += 1) {
      const position = positions[row] as number;
      this.#ids[row] = BigInt(tokens[row] as number);
      this.#lengths[row] = position;
      this.#wanted[row] = BigInt(row);
      total = Math.max(total, position + 1);
    }
    this.#total[0] = total;
    this.#decodeBinding(rows).run();
    return this.#rows(rows);
  }

  prefill(
    slotIndex: number,
    start: number,
    tokens: readonly number[],
    wanted: readonly number[],
  ): readonly Float32Array[] {
    const count = tokens.length;
    for (let i = 0; i < count; i += 1) this.#ids[i] = BigInt(tokens[i] as number);
    for (let i = 0; i < wanted.length; i += 1) this.#wanted[i] = BigInt(wanted[i] as number);
    this.#lengths[0] = start + count - 1;
    this.#total[0] = start + count;
    const binding = this.#chunkBinding(slotIndex);
    binding.input("input_ids", this.#idTensors.of(1, count));
    binding.input("logit_rows", this.#wantedTensors.of(wanted.length));
    binding.output("logits", this.#logitTensors.of(1, wanted.length, this.#vocabSize));
    binding.run();
    return this.#rows(wanted.length);
  }

  close(): void {
    for (const tensors of [
      this.#idTensors,
      this.#lengthTensors,
      this.#totalTensors,
      this.#wantedTensors,
      this.#logitTensors,
    ]) {
      tensors.close();
    }
  }

  #rows(count: number): readonly Float32Array[] {
    const width = this.#vocabSize;
    return Array.from({ length: count }, (_, row) => this.#logits.subarray(row * width, (row + 1) * width));
  }

  #decodeBinding(rows: number): Binding {
    const known = this.#decodeBindings.get(rows);
    if (known !== undefined) return known;
    const binding = this.#session.createBinding();
    binding.input("input_ids", this.#idTensors.of(rows, 1));
    binding.input("seqlens_k", this.#lengthTensors.of(rows));
    binding.input("total_sequence_length", this.#totalTensors.of());
    binding.input("logit_rows", this.#wantedTensors.of(rows));
    binding.output("logits", this.#logitTensors.of(1, rows, this.#vocabSize));
    this.#bindCache(binding, 0, rows);
    this.#decodeBindings.set(rows, binding);
    return binding;
  }

  #chunkBinding(slotIndex: number): Binding {
    const known = this.#chunkBindings.get(slotIndex);
    if (known !== undefined) return known;
    const binding = this.#session.createBinding();
    binding.input("seqlens_k", this.#lengthTensors.of(1));
    binding.input("total_sequence_length", this.#totalTensors.of());
    this.#bindCache(binding, slotIndex, 1);
    this.#chunkBindings.set(slotIndex, binding);
    return binding;
  }

  #bindCache(binding: Binding, from: number, count: number): void {
    for (const [index, tensor] of this.#arena.view(from, count).entries()) {
      const name = `${index >> 1}.${index % 2 === 0 ? "key" : "value"}`;
      binding.input(`past.${name}`, tensor);
      binding.output(`present.${name}`, tensor);
    }
  }
}

/** One for each slot of a decode run, and for each row that a prefill run may want. */
const logitRowsOf = ({ slots }: ArenaShape): number => Math.max(slots, WANTED_ROWS_MAX);
