/** GGUF written by hand, field by field, so that a test can tell any lie in any of them. */

const number = (bytes: number, write: (buffer: Buffer) => unknown): Buffer => {
  const buffer = Buffer.alloc(bytes);
  write(buffer);
  return buffer;
};

export const u8 = (value: number): Buffer => Buffer.of(value);
export const u32 = (value: number): Buffer => number(4, (buffer) => buffer.writeUInt32LE(value));
export const u64 = (value: number | bigint): Buffer =>
  number(8, (buffer) => buffer.writeBigUInt64LE(BigInt(value)));
export const f32 = (value: number): Buffer => number(4, (buffer) => buffer.writeFloatLE(value));
export const f64 = (value: number): Buffer => number(8, (buffer) => buffer.writeDoubleLE(value));
export const text = (value: string): Buffer =>
  Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

export const TYPE = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  text: 8,
  array: 9,
} as const;
export const WIDE = { u64: 10, i64: 11, f64: 12 } as const;

/** A metadata entry: key, type number, the value's bytes. */
export const entry = (key: string, type: number, ...value: Buffer[]): Buffer =>
  Buffer.concat([text(key), u32(type), ...value]);

export const array = (elementType: number, count: number | bigint, ...elements: Buffer[]): Buffer =>
  Buffer.concat([u32(elementType), u64(count), ...elements]);

export interface TensorClaims {
  readonly name?: string;
  /** Innermost first, as in the file. */
  readonly dimensions?: readonly (number | bigint)[];
  readonly dimensionCount?: number;
  /** ggml's number; 0 is F32. */
  readonly type?: number;
  readonly offset?: number | bigint;
}

export const tensor = (claims: TensorClaims = {}): Buffer => {
  const { name = "t.weight", dimensions = [4, 2], type = 0, offset = 0 } = claims;
  const count = claims.dimensionCount ?? dimensions.length;
  return Buffer.concat([text(name), u32(count), ...dimensions.map(u64), u32(type), u64(offset)]);
};

export interface GgufClaims {
  readonly magic?: string;
  readonly version?: number;
  readonly tensorCount?: number | bigint;
  readonly metadataCount?: number | bigint;
  readonly metadata?: readonly Buffer[];
  readonly tensors?: readonly Buffer[];
  /** Bytes after the header, which is padded to 32 before them. */
  readonly data?: Uint8Array;
}

/** Without claims: a right file with one F32 tensor `t.weight` of 2 rows of 4. */
export function ggufBytes(claims: GgufClaims = {}): Buffer {
  const { metadata = [entry("general.architecture", TYPE.text, text("llama"))], tensors = [tensor()] } =
    claims;
  const header = Buffer.concat([
    Buffer.from(claims.magic ?? "GGUF"),
    u32(claims.version ?? 3),
    u64(claims.tensorCount ?? tensors.length),
    u64(claims.metadataCount ?? metadata.length),
    ...metadata,
    ...tensors,
  ]);
  const padding = Buffer.alloc((32 - (header.length % 32)) % 32);
  return Buffer.concat([
    header,
    padding,
    claims.data ?? new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8).buffer),
  ]);
}
