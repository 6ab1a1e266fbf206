/** Element types of ONNX tensors, by their numbers in onnx.proto's TensorProto.DataType. */

const TYPES = [
  ["undefined", undefined],
  ["float32", 32],
  ["uint8", 8],
  ["int8", 8],
  ["uint16", 16],
  ["int16", 16],
  ["int32", 32],
  ["int64", 64],
  ["string", undefined],
  ["bool", 8],
  ["float16", 16],
  ["float64", 64],
  ["uint32", 32],
  ["uint64", 64],
  ["complex64", 64],
  ["complex128", 128],
  ["bfloat16", 16],
  ["float8e4m3fn", 8],
  ["float8e4m3fnuz", 8],
  ["float8e5m2", 8],
  ["float8e5m2fnuz", 8],
  ["uint4", 4],
  ["int4", 4],
  ["float4e2m1", 4],
] as const;

export type ElementType = (typeof TYPES)[number][0];

/** `undefined` for numbers that are none, or not known here. */
export const typeNamed = (number: number): ElementType => TYPES[number]?.[0] ?? "undefined";

/** Bits of one element; undefined where elements have no fixed size. */
export const bitsOf = (type: ElementType): number | undefined => TYPES.find(([name]) => name === type)?.[1];
