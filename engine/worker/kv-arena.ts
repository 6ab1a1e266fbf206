/**
 * The bytes of keys and values of one lane: for each layer two arrays [slots, kvHeads, capacity, headDim], a slot's part
 * contiguous. A decode run sees the first n slots as one tensor, a prefill run sees one slot; nothing is copied.
 */
import { assert } from "../core/assert.ts";
import type { CacheScale, KvPrecision, ModelGeometry } from "../core/model.ts";
import { Tensor } from "./ort/session.ts";

const ROUNDING = 1.5 * 2 ** 52;

export interface ArenaShape {
  readonly geometry: ModelGeometry;
  readonly precision: KvPrecision;
  readonly slots: number;
  /** Positions a slot can hold. */
  readonly capacity: number;
}

/** Bytes that an arena takes once it is full. Untouched pages cost nothing. */
export const arenaBytes = (shape: ArenaShape): number =>
  2 * shape.geometry.layers * shape.slots * slotBytes(shape);

/** Bytes of one slot's keys (or values) of one layer. */
function slotBytes({ geometry, precision, capacity }: ArenaShape): number {
  return geometry.kvHeads * capacity * geometry.headDim * (precision === "int8" ? 1 : 4);
}

export class KvArena {
  readonly #shape: ArenaShape;
  /** Keys and values of layer 0, of layer 1, and so on. */
  readonly #buffers: readonly ArrayBuffer[];
  readonly #views = new Map<string, readonly Tensor[]>();

  constructor(shape: ArenaShape) {
    this.#shape = shape;
    const bytes = shape.slots * slotBytes(shape);
    this.#buffers = Array.from({ length: 2 * shape.geometry.layers }, () => new ArrayBuffer(bytes));
  }

  /** Tensors over slots from .. from + count - 1, keys and values alternating; closed with the arena. */
  view(from: number, count: number): readonly Tensor[] {
    const key = `${from},${count}`;
    const known = this.#views.get(key);
    if (known !== undefined) return known;
    const { geometry, precision, slots, capacity } = this.#shape;
    assert(
      from >= 0 && count >= 1 && from + count <= slots,
      `slots ${from}..${from + count - 1} are not in the arena`,
    );
    const bytes = slotBytes(this.#shape);
    const dims = [count, geometry.kvHeads, capacity, geometry.headDim];
    const type = precision === "int8" ? "int8" : "float32";
    const views = this.#buffers.map((buffer) => new Tensor(buffer, from * bytes, count * bytes, dims, type));
    this.#views.set(key, views);
    return views;
  }

  /** Copies the first `tokens` positions of every head from one slot to another. */
  move(from: number, to: number, tokens: number): void {
    const { geometry, precision, slots, capacity } = this.#shape;
    assert(
      from < slots && to < slots && tokens <= capacity,
      `move of ${tokens} tokens ${from} -> ${to} is out of bounds`,
    );
    const position = geometry.headDim * (precision === "int8" ? 1 : 4);
    const head = capacity * position;
    const slotSize = slotBytes(this.#shape);
    for (const buffer of this.#buffers) {
      const bytes = new Uint8Array(buffer);
      for (let h = 0; h < geometry.kvHeads; h += 1) {
        const start = from * slotSize + h * head;
        bytes.copyWithin(to * slotSize + h * head, start, start + tokens * position);
      }
    }
  }

  /**
   * Rounds positions from .. from + count - 1 of an f32 arena's only slot into a slot of this int8 one. To the nearest,
   * halves to even, as the attention kernel rounds what it appends itself.
   */
  roundIn(
    source: KvArena,
    slotIndex: number,
    from: number,
    count: number,
    scales: readonly CacheScale[],
  ): void {
    const { geometry, capacity } = this.#shape;
    assert(this.#shape.precision === "int8" && source.#shape.precision === "f32", "f32 is rounded to int8");
    assert(from >= 0 && from + count <= capacity, `positions up to ${from + count} are beyond the slot`);
    assert(scales.length === geometry.layers, `${scales.length} scales for ${geometry.layers} layers`);
    const elements = count * geometry.headDim;
    for (const [index, buffer] of this.#buffers.entries()) {
      const { key, value } = scales[index >> 1] as CacheScale;
      const inverse = 1 / (index % 2 === 0 ? key : value);
      const exact = new Float32Array(source.#buffers[index] as ArrayBuffer);
      const rounded = new Int8Array(buffer);
      for (let h = 0; h < geometry.kvHeads; h += 1) {
        const start = (h * capacity + from) * geometry.headDim;
        const target = slotIndex * geometry.kvHeads * capacity * geometry.headDim + start;
        for (let i = 0; i < elements; i += 1) {
          const scaled = (exact[start + i] as number) * inverse;
          // Adding and taking away 1.5 * 2^52 leaves the nearest integer: far faster than Math.round, and halves go to even.
          const nearest = scaled + ROUNDING - ROUNDING;
          rounded[target + i] = Math.min(127, Math.max(-128, nearest));
        }
      }
    }
  }

  /** Writes made-up keys and values, the same each time, into the first positions of a slot: a context for trials. */
  scramble(slotIndex: number, tokens: number): void {
    const { geometry, precision, capacity } = this.#shape;
    const elements = tokens * geometry.headDim;
    let state = 1;
    for (const buffer of this.#buffers) {
      const values = precision === "int8" ? new Int8Array(buffer) : new Float32Array(buffer);
      for (let h = 0; h < geometry.kvHeads; h += 1) {
        const start = (slotIndex * geometry.kvHeads + h) * capacity * geometry.headDim;
        for (let i = start; i < start + elements; i += 1) {
          state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
          // The upper bits of a linear congruence are its good ones; both ranges are centred on 0.
          values[i] = precision === "int8" ? state >> 24 : state / 2 ** 31;
        }
      }
    }
  }

  /** A layer's keys (part 0) or values (part 1) of one head in the first positions of a slot: [tokens, headDim]. */
  head(
    layer: number,
    part: 0 | 1,
    slotIndex: number,
    head: number,
    tokens: number,
  ): Float32Array | Int8Array {
    const { geometry, precision, capacity } = this.#shape;
    const buffer = this.#buffers[2 * layer + part] as ArrayBuffer;
    const values = precision === "int8" ? new Int8Array(buffer) : new Float32Array(buffer);
    const start = (slotIndex * geometry.kvHeads + head) * capacity * geometry.headDim;
    return values.subarray(start, start + tokens * geometry.headDim);
  }

  /** The largest magnitude in a layer's keys (part 0) or values (part 1) over the first positions of a slot; f32 only. */
  largest(layer: number, part: 0 | 1, slotIndex: number, tokens: number): number {
    assert(this.#shape.precision === "f32", "magnitudes are measured on an f32 cache");
    let largest = 0;
    for (let h = 0; h < this.#shape.geometry.kvHeads; h += 1) {
      for (const value of this.head(layer, part, slotIndex, h, tokens))
        largest = Math.max(largest, Math.abs(value));
    }
    return largest;
  }

  close(): void {
    for (const views of this.#views.values()) for (const tensor of views) tensor.close();
    this.#views.clear();
  }
}
