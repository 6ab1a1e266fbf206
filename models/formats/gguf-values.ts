/** The typed values of GGUF's metadata (source: ggml's docs/gguf.md, `gguf_metadata_value_type`). */
import type { FileCursor } from "./file-cursor.ts";

/** What all arrays of a file may still hold together. */
export interface Budget {
  elementsLeft: number;
}

export const VALUE_TYPE = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const;

const KEY_BYTES_MAX = 1024;
const STRING_BYTES_MAX = 16 * 2 ** 20;
const NESTING_MAX = 4;

type NumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

interface NumberType {
  readonly bytes: number;
  readonly view: (buffer: ArrayBuffer) => NumberArray;
}

/** Typed arrays take the host's byte order; every platform that the runtime ships for is little-endian, as GGUF is. */
const NUMBERS: ReadonlyMap<number, NumberType> = new Map<number, NumberType>([
  [VALUE_TYPE.uint8, { bytes: 1, view: (buffer) => new Uint8Array(buffer) }],
  [VALUE_TYPE.int8, { bytes: 1, view: (buffer) => new Int8Array(buffer) }],
  [VALUE_TYPE.uint16, { bytes: 2, view: (buffer) => new Uint16Array(buffer) }],
  [VALUE_TYPE.int16, { bytes: 2, view: (buffer) => new Int16Array(buffer) }],
  [VALUE_TYPE.uint32, { bytes: 4, view: (buffer) => new Uint32Array(buffer) }],
  [VALUE_TYPE.int32, { bytes: 4, view: (buffer) => new Int32Array(buffer) }],
  [VALUE_TYPE.float32, { bytes: 4, view: (buffer) => new Float32Array(buffer) }],
  [VALUE_TYPE.uint64, { bytes: 8, view: (buffer) => new BigUint64Array(buffer) }],
  [VALUE_TYPE.int64, { bytes: 8, view: (buffer) => new BigInt64Array(buffer) }],
  [VALUE_TYPE.float64, { bytes: 8, view: (buffer) => new Float64Array(buffer) }],
]);

/** A metadata key or tensor name: length, then UTF-8. */
export function readKey(cursor: FileCursor, field: string): string {
  const length = cursor.u64(`${field}: length of the name`);
  if (length === 0 || length > KEY_BYTES_MAX) {
    cursor.fail(field, `a name of ${length} bytes; 1 to ${KEY_BYTES_MAX} are supported`);
  }
  return cursor.text(length, `${field}: name`);
}

/** A value with its type in front. */
export function readValue(cursor: FileCursor, field: string, budget: Budget): unknown {
  return readTyped(cursor, cursor.u32(`${field}: type`), field, budget, 0);
}

function readTyped(cursor: FileCursor, type: number, field: string, budget: Budget, depth: number): unknown {
  if (type === VALUE_TYPE.string) return readString(cursor, field);
  if (type === VALUE_TYPE.bool) return readBool(cursor, field);
  if (type === VALUE_TYPE.array) return readArray(cursor, field, budget, depth + 1);
  const number = NUMBERS.get(type);
  if (number === undefined) return cursor.fail(field, `value type ${type} is unknown`);
  const value = number.view(cursor.bytes(number.bytes, field).buffer)[0];
  return typeof value === "bigint" ? plainInteger(value) : value;
}

function readString(cursor: FileCursor, field: string): string {
  const length = cursor.u64(`${field}: length`);
  if (length > STRING_BYTES_MAX) {
    cursor.fail(field, `a text of ${length} bytes; the longest read is ${STRING_BYTES_MAX}`);
  }
  return cursor.text(length, field);
}

function readBool(cursor: FileCursor, field: string): boolean {
  const byte = cursor.u8(field);
  if (byte > 1) cursor.fail(field, `${byte} is not a truth value`);
  return byte === 1;
}

function readArray(cursor: FileCursor, field: string, budget: Budget, depth: number): unknown {
  if (depth > NESTING_MAX) cursor.fail(field, `arrays nest deeper than ${NESTING_MAX}`);
  const type = cursor.u32(`${field}: element type`);
  const count = cursor.u64(`${field}: count`);
  budget.elementsLeft -= count;
  if (budget.elementsLeft < 0)
    cursor.fail(field, `${count} elements; the file's arrays hold too many together`);
  const number = NUMBERS.get(type);
  if (number !== undefined) return number.view(cursor.bytes(count * number.bytes, field).buffer);
  cursor.require(count * smallestBytes(type), field);
  const values: unknown[] = [];
  if (type === VALUE_TYPE.string) {
    // Vocabularies have hundreds of thousands of texts: naming each one's place would take longer than reading it.
    for (let index = 0; index < count; index += 1) values.push(readString(cursor, field));
    return values;
  }
  for (let index = 0; index < count; index += 1) {
    values.push(readTyped(cursor, type, `${field}[${index}]`, budget, depth));
  }
  return values;
}

/** What one element takes at least: a text its length, an array its type and count, a truth value a byte. */
function smallestBytes(type: number): number {
  if (type === VALUE_TYPE.string) return 8;
  return type === VALUE_TYPE.array ? 12 : 1;
}

function plainInteger(value: bigint): number | bigint {
  const plain = Number(value);
  return Number.isSafeInteger(plain) ? plain : value;
}
