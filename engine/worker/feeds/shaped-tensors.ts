/** Tensors over the beginning of one buffer, one a shape, each made when it is first asked for. */
import { type ElementType, Tensor } from "../ort/session.ts";

const BYTES: Readonly<Record<ElementType, number>> = { float32: 4, uint8: 1, int8: 1, int32: 4, int64: 8 };

export class ShapedTensors {
  readonly #memory: ArrayBuffer;
  readonly #type: ElementType;
  readonly #tensors = new Map<string, Tensor>();

  constructor(memory: ArrayBuffer, type: ElementType) {
    this.#memory = memory;
    this.#type = type;
  }

  /** No dimension at all: a scalar. */
  of(...shape: readonly number[]): Tensor {
    const key = shape.join();
    const known = this.#tensors.get(key);
    if (known !== undefined) return known;
    const bytes = shape.reduce((product, length) => product * length, BYTES[this.#type]);
    const tensor = new Tensor(this.#memory, 0, bytes, shape, this.#type);
    this.#tensors.set(key, tensor);
    return tensor;
  }

  close(): void {
    for (const tensor of this.#tensors.values()) tensor.close();
    this.#tensors.clear();
  }
}
