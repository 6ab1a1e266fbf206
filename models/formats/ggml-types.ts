/** The element types of ggml: their names for messages, and how the ones that we read lie in memory. */
import type { KType, TensorType } from "../source.ts";

/** By their number in the file; source: `enum ggml_type` in llama.cpp's ggml.h. Numbers 4 and 5 were withdrawn. */
const NAMES: readonly string[] = [
  ...["F32", "F16", "Q4_0", "Q4_1", "Q4_2", "Q4_3", "Q5_0", "Q5_1", "Q8_0", "Q8_1"],
  ...["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S"],
  ...["IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8", "I16", "I32", "I64", "F64", "IQ1_M"],
  ...["BF16", "Q4_0_4_4", "Q4_0_4_8", "Q4_0_8_8", "TQ1_0", "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8"],
  ...["MXFP4", "NVFP4", "Q1_0", "Q2_0"],
];

export const ggmlTypeName = (type: number): string => NAMES[type] ?? `number ${type} (unknown)`;

export const ggmlTypeNumber = (type: TensorType): number => NAMES.indexOf(type);

/** `blockElements` neighbours along the innermost dimension share `blockBytes` bytes. */
export interface TypeLayout {
  readonly blockElements: number;
  readonly blockBytes: number;
}

export const TYPE_LAYOUT: Readonly<Record<TensorType, TypeLayout>> = {
  F32: { blockElements: 1, blockBytes: 4 },
  F16: { blockElements: 1, blockBytes: 2 },
  BF16: { blockElements: 1, blockBytes: 2 },
  Q8_0: { blockElements: 32, blockBytes: 34 },
  Q4_0: { blockElements: 32, blockBytes: 18 },
  Q4_K: { blockElements: 256, blockBytes: 144 },
  Q5_K: { blockElements: 256, blockBytes: 176 },
  Q6_K: { blockElements: 256, blockBytes: 210 },
};

export const SUPPORTED_TYPES = Object.keys(TYPE_LAYOUT) as readonly TensorType[];

export const isKType = (type: TensorType): type is KType => TYPE_LAYOUT[type].blockElements === 256;

/** undefined: a type that we do not read. */
export const supportedType = (type: number): TensorType | undefined =>
  SUPPORTED_TYPES.find((name) => name === NAMES[type]);

/** Bytes of `elements` values, which must be whole blocks. */
export function byteLengthOf(type: TensorType, elements: number): number {
  const { blockElements, blockBytes } = TYPE_LAYOUT[type];
  return (elements / blockElements) * blockBytes;
}
