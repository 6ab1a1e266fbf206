/**
 * One model on one device: a session, its KV arena, and the feeds of the two kinds of run. Blocking; lives in a worker.
 *
 * Batch invariance: some kernels for a single row round differently from those for several (f32, 4-bit blocks of 64 or
 * 128), others do not (blocks of 32, 8-bit blocks of 64). Which hold depends on the processor, so the runner tries it out
 * when it is made. Where they differ, a lone decode row and a chunk of one token are padded to two. The padding writes
 * one position beyond a slot's last; it is overwritten before it is read.
 */
import { assert } from "../core/assert.ts";
import { type ArenaShape, KvArena } from "./kv-arena.ts";
import { type Binding, OrtSession, type SessionOptions, Tensor } from "./ort/session.ts";

export interface RunnerOptions {
  readonly graphPath: string;
  readonly arena: ArenaShape;
  /** Tokens of the longest chunk. */
  readonly chunkTokensMax: number;
  readonly session: SessionOptions;
}

/** Rows of logits that a prefill run may ask for at once; bounds the logits buffer. */
export const WANTED_ROWS_MAX = 32;

const EMPTY_SLOT_TOKEN = 0;

/** The trial at start: tokens of made-up context, and steps behind it whose logits must agree to the bit. */
const TRIAL_CONTEXT = 700;
const TRIAL_STEPS = 3;

/** Least sizes of a run: 1, or 2 where the kernels for a single one round differently. */
export interface Padding {
  readonly decodeRows: 1 | 2;
  readonly chunkTokens: 1 | 2;
  /** Rows that go through the head. */
  readonly wantedRows: 1 | 2;
}

export class DecoderRunner {
  readonly #session: OrtSession;
  readonly #arena: KvArena;
  readonly #shape: ArenaShape;
  readonly #ids: BigInt64Array<ArrayBuffer>;
  readonly #lengths: Int32Array<ArrayBuffer>;
  readonly #total: Int32Array<ArrayBuffer>;
  readonly #wanted: BigInt64Array<ArrayBuffer>;
  readonly #logits: Float32Array<ArrayBuffer>;
  readonly #totalTensor: Tensor;
  readonly #oneLength: Tensor;
  /** Tensors over the small buffers, by element count. */
  readonly #chunkIds = new Map<number, Tensor>();
  readonly #wantedTensors = new Map<number, Tensor>();
  readonly #logitTensors = new Map<number, Tensor>();
  readonly #decodeBindings = new Map<
    number,
    { readonly binding: Binding; readonly tensors: readonly Tensor[] }
  >();
  readonly #chunkBindings = new Map<number, Binding>();
  /** Positions written in each slot: where padding may write. */
  readonly #written: Int32Array;
  #padding: Padding = { decodeRows: 2, chunkTokens: 2, wantedRows: 2 };

  constructor(options: RunnerOptions) {
    const { arena } = options;
    assert(arena.slots >= 2, "an arena needs a second slot to pad a lone row");
    this.#shape = arena;
    this.#arena = new KvArena(arena);
    this.#session = new OrtSession(options.graphPath, options.session);
    const rows = Math.max(arena.slots, WANTED_ROWS_MAX);
    this.#ids = new BigInt64Array(new ArrayBuffer(8 * Math.max(rows, options.chunkTokensMax + 1)));
    this.#lengths = new Int32Array(new ArrayBuffer(4 * arena.slots));
    this.#total = new Int32Array(new ArrayBuffer(4));
    this.#wanted = new BigInt64Array(new ArrayBuffer(8 * rows));
    this.#logits = new Float32Array(new ArrayBuffer(4 * rows * arena.geometry.vocabSize));
    this.#totalTensor = new Tensor(this.#total.buffer, 0, 4, [], "int32");
    this.#oneLength = new Tensor(this.#lengths.buffer, 0, 4, [1], "int32");
    this.#written = new Int32Array(arena.slots);
    this.#padding = this.#tryPadding();
  }

  /** How far single rows are padded for the sake of batch invariance. */
  get padding(): Padding {
    return this.#padding;
  }

  get vocabSize(): number {
    return this.#shape.geometry.vocabSize;
  }

  /**
   * One token for each of the slots 0 .. tokens.length - 1, at `positions` (= what the slot holds already).
   * Returns the rows of logits, [tokens.length, vocabSize]; the memory is overwritten by the next run.
   */
  decode(tokens: readonly number[], positions: readonly number[]): readonly Float32Array[] {
    const count = tokens.length;
    const rows = Math.max(this.#padding.decodeRows, count);
    let total = 0;
    for (let row = 0; row < rows; row += 1) {
      const padding = row >= count;
      const position = padding ? (this.#written[row] as number) : (positions[row] as number);
      this.#ids[row] = BigInt(padding ? EMPTY_SLOT_TOKEN : (tokens[row] as number));
      this.#lengths[row] = position;
      this.#wanted[row] = BigInt(row);
      if (!padding) this.#written[row] = position + 1;
      total = Math.max(total, position + 1);
    }
    assert(
      total <= this.#shape.capacity,
      `position ${total - 1} is beyond the slot's ${this.#shape.capacity}`,
    );
    this.#total[0] = total;
    this.#decodeBinding(rows).run();
    return this.#rows(count);
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
    const count = Math.max(this.#padding.chunkTokens, tokens.length);
    assert(
      start + count <= this.#shape.capacity,
      `a chunk up to ${start + count} is beyond the slot's ${this.#shape.capacity}`,
    );
    for (let i = 0; i < count; i += 1) this.#ids[i] = BigInt(tokens[i] ?? EMPTY_SLOT_TOKEN);
    // One wanted row is asked for twice, for the same reason as a lone decode row is padded.
    const rows = Math.max(this.#padding.wantedRows, wanted.length);
    for (let i = 0; i < rows; i += 1) this.#wanted[i] = BigInt(wanted[i] ?? (wanted[0] as number));
    this.#lengths[0] = start + count - 1;
    this.#total[0] = start + count;
    this.#written[slotIndex] = start + tokens.length;
    const binding = this.#chunkBinding(slotIndex);
    binding.input(
      "input_ids",
      this.#sized(this.#chunkIds, count, () => [1, count]),
    );
    binding.input("logit_rows", this.#sizedWanted(rows));
    binding.output("logits", this.#sizedLogits(rows));
    binding.run();
    return this.#rows(wanted.length);
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
    for (const tensors of [this.#chunkIds, this.#wantedTensors, this.#logitTensors]) {
      for (const tensor of tensors.values()) tensor.close();
      tensors.clear();
    }
    for (const { tensors } of this.#decodeBindings.values()) for (const tensor of tensors) tensor.close();
    this.#totalTensor.close();
    this.#oneLength.close();
    this.#arena.close();
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
        seen.push(...this.decode([token(position)], [position]).map(copyOf));
        // The same position again, as a chunk.
        seen.push(...this.prefill(0, position, [token(position)], [0]).map(copyOf));
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

  #rows(count: number): readonly Float32Array[] {
    const width = this.vocabSize;
    return Array.from({ length: count }, (_, row) => this.#logits.subarray(row * width, (row + 1) * width));
  }

  #decodeBinding(rows: number): Binding {
    const known = this.#decodeBindings.get(rows);
    if (known !== undefined) return known.binding;
    const binding = this.#session.createBinding();
    const ids = new Tensor(this.#ids.buffer, 0, 8 * rows, [rows, 1], "int64");
    const lengths = new Tensor(this.#lengths.buffer, 0, 4 * rows, [rows], "int32");
    binding.input("input_ids", ids);
    binding.input("seqlens_k", lengths);
    binding.input("total_sequence_length", this.#totalTensor);
    binding.input("logit_rows", this.#sizedWanted(rows));
    binding.output("logits", this.#sizedLogits(rows));
    this.#bindCache(binding, 0, rows);
    this.#decodeBindings.set(rows, { binding, tensors: [ids, lengths] });
    return binding;
  }

  #chunkBinding(slotIndex: number): Binding {
    const known = this.#chunkBindings.get(slotIndex);
    if (known !== undefined) return known;
    const binding = this.#session.createBinding();
    binding.input("seqlens_k", this.#oneLength);
    binding.input("total_sequence_length", this.#totalTensor);
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

  #sized(map: Map<number, Tensor>, count: number, shape: () => readonly number[]): Tensor {
    const known = map.get(count);
    if (known !== undefined) return known;
    const tensor = new Tensor(this.#ids.buffer, 0, 8 * count, shape(), "int64");
    map.set(count, tensor);
    return tensor;
  }

  #sizedWanted(rows: number): Tensor {
    const known = this.#wantedTensors.get(rows);
    if (known !== undefined) return known;
    const tensor = new Tensor(this.#wanted.buffer, 0, 8 * rows, [rows], "int64");
    this.#wantedTensors.set(rows, tensor);
    return tensor;
  }

  #sizedLogits(rows: number): Tensor {
    const known = this.#logitTensors.get(rows);
    if (known !== undefined) return known;
    const width = this.vocabSize;
    const tensor = new Tensor(this.#logits.buffer, 0, 4 * rows * width, [1, rows, width], "float32");
    this.#logitTensors.set(rows, tensor);
    return tensor;
  }
}

const copyOf = (row: Float32Array): Uint8Array =>
  new Uint8Array(row.buffer, row.byteOffset, row.byteLength).slice();
