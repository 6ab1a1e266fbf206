/** How many bytes the weights of a compiled model take, told from their shapes before anything is compiled. */
import type { ModelSource } from "../source.ts";
import { keptPrecision, type MatrixPrecision } from "./weights.ts";

/** A scale is an f32, whatever the source has. */
const SCALE_BYTES = 4;
/** Of matrices, where nothing else is asked for. */
const BLOCK = 32;

export interface SizeChoice {
  readonly quant: "q4" | "q8" | "f32" | undefined;
  readonly block: number | undefined;
}

/** Without graphs, tokenizer and rotary tables: a few MB more. */
export function compiledWeightBytes(
  { kind, store }: Pick<ModelSource, "kind" | "store">,
  { quant, block }: SizeChoice,
): number {
  const asked = quant ?? (kind === "safetensors" ? "q8" : undefined);
  let bytes = 0;
  for (const { type, shape } of store.tensors.values()) {
    const elements = shape.reduce((product, length) => product * length, 1);
    // Norms and biases stay whole.
    const isMatrix = shape.length > 1;
    bytes += isMatrix
      ? matrixBytes(elements, asked === undefined ? keptPrecision(type, block) : PRECISIONS[asked](block))
      : 4 * elements;
  }
  return bytes;
}

const PRECISIONS: Readonly<Record<"q4" | "q8" | "f32", (block: number | undefined) => MatrixPrecision>> = {
  q4: (block) => ({ bits: 4, block: block ?? BLOCK }),
  q8: (block) => ({ bits: 8, block: block ?? BLOCK }),
  f32: () => ({ bits: 32, block: 0 }),
};

const matrixBytes = (elements: number, { bits, block }: MatrixPrecision): number =>
  (elements * bits) / 8 + (block === 0 ? 0 : (SCALE_BYTES * elements) / block);
