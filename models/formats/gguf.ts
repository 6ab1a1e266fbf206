/**
 * GGUF, versions 2 and 3: metadata and tensors of one file (source: ggml's docs/gguf.md).
 *
 * Nothing in the file is believed: counts and lengths are checked against the bytes that are left, shapes against the
 * file's size, tensors against each other. Any lie ends in a ModelFileError that names the field.
 */
import { closeSync } from "node:fs";
import type { TensorStore } from "../source.ts";
import { FileCursor, type OpenedFile, openRegularFile, quoted } from "./file-cursor.ts";
import { byteLengthOf, ggmlTypeName, SUPPORTED_TYPES, supportedType, TYPE_LAYOUT } from "./ggml-types.ts";
import { type Budget, readKey, readValue } from "./gguf-values.ts";
import { findOverlap, isPlainTensorName, type PlacedTensor, TensorFiles } from "./tensor-files.ts";

export interface GgufFile {
  /**
   * Keys as in the file; no prototype. Values: number (bigint where an integer leaves the safe range), boolean,
   * string, and arrays: string[], boolean[], typed arrays of numbers, or arrays of arrays.
   */
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly store: TensorStore;
}

/** "GGUF" read as a little-endian number. */
const MAGIC = 0x46554747;
/** Real headers end at 10 to 20 MB, the largest vocabularies included. */
const HEADER_BYTES_MAX = 128 * 2 ** 20;
const METADATA_COUNT_MAX = 65_536;
const TENSOR_COUNT_MAX = 65_536;
/** Array elements over all metadata; a vocabulary of 262,144 with scores, types and merges has 1.3 million. */
const ELEMENTS_MAX = 2 * 2 ** 20;
const DIMENSIONS_MAX = 4;
const ALIGNMENT_DEFAULT = 32;
const ALIGNMENT_MAX = 65_536;
const METADATA_BYTES_MIN = 13;
const TENSOR_BYTES_MIN = 32;

/** Reads the header and leaves the tensors' bytes where they are. The store must be closed by the caller. */
export function openGguf(path: string): GgufFile {
  const file = openRegularFile(path);
  try {
    const cursor = new FileCursor(file, HEADER_BYTES_MAX);
    const { tensorCount, metadataCount } = readPrologue(cursor);
    const metadata = readMetadata(cursor, metadataCount);
    refuseShards(cursor, metadata);
    const alignment = alignmentOf(cursor, metadata);
    const placed = readTensors(cursor, file, tensorCount, alignment);
    return { metadata, store: new TensorFiles(path, [file], placed) };
  } catch (error) {
    closeSync(file.descriptor);
    throw error;
  }
}

function readPrologue(cursor: FileCursor): { readonly tensorCount: number; readonly metadataCount: number } {
  if (cursor.u32("magic") !== MAGIC)
    cursor.fail("magic", "this is not a GGUF file: it does not start with GGUF");
  const version = cursor.u32("version");
  if (version > 0xffff) cursor.fail("version", "the file is big-endian; convert it to little-endian first");
  if (version !== 2 && version !== 3) cursor.fail("version", `is ${version}; supported: 2, 3`);
  const tensorCount = readCount(cursor, "tensor_count", TENSOR_COUNT_MAX, TENSOR_BYTES_MIN);
  const metadataCount = readCount(cursor, "metadata_kv_count", METADATA_COUNT_MAX, METADATA_BYTES_MIN);
  return { tensorCount, metadataCount };
}

function readCount(cursor: FileCursor, field: string, max: number, bytesMin: number): number {
  const count = cursor.u64(field);
  if (count > max) cursor.fail(field, `is ${count}; the largest read is ${max}`);
  if (count * bytesMin > cursor.left) {
    cursor.fail(
      field,
      `is ${count}, which needs at least ${count * bytesMin} bytes; ${cursor.left} are left`,
    );
  }
  return count;
}

function readMetadata(cursor: FileCursor, count: number): Readonly<Record<string, unknown>> {
  // No prototype: a key such as `__proto__` is only a key.
  const metadata: Record<string, unknown> = Object.create(null);
  const budget: Budget = { elementsLeft: ELEMENTS_MAX };
  for (let index = 0; index < count; index += 1) {
    const key = readKey(cursor, `metadata[${index}]`);
    if (Object.hasOwn(metadata, key)) cursor.fail(`metadata ${quoted(key)}`, "stands twice in the file");
    metadata[key] = readValue(cursor, `metadata ${quoted(key)}`, budget);
  }
  return metadata;
}

function refuseShards(cursor: FileCursor, metadata: Readonly<Record<string, unknown>>): void {
  const shards = metadata["split.count"];
  if (typeof shards !== "number" || shards <= 1) return;
  cursor.fail(
    "split.count",
    `the file is one of ${shards} parts; join them first (llama-gguf-split --merge)`,
  );
}

function alignmentOf(cursor: FileCursor, metadata: Readonly<Record<string, unknown>>): number {
  const value = metadata["general.alignment"] ?? ALIGNMENT_DEFAULT;
  const isPowerOfTwo = typeof value === "number" && value >= 1 && Number.isInteger(Math.log2(value));
  if (!isPowerOfTwo || value > ALIGNMENT_MAX) {
    return cursor.fail("general.alignment", `must be a power of two up to ${ALIGNMENT_MAX}`);
  }
  return value;
}

interface TensorEntry {
  readonly info: PlacedTensor["info"];
  readonly offset: number;
}

function readTensors(cursor: FileCursor, file: OpenedFile, count: number, alignment: number): PlacedTensor[] {
  const entries: TensorEntry[] = [];
  const names = new Set<string>();
  for (let index = 0; index < count; index += 1) {
    const entry = readTensorEntry(cursor, index, file.size);
    if (names.has(entry.info.name)) cursor.fail(entry.info.name, "this tensor stands twice in the file");
    names.add(entry.info.name);
    entries.push(entry);
  }
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;
  for (const { info, offset } of entries) {
    if (offset % alignment !== 0)
      cursor.fail(info.name, `offset ${offset} is not a multiple of ${alignment}`);
    if (dataStart + offset + info.byteLength > file.size) {
      const end = dataStart + offset + info.byteLength;
      cursor.fail(info.name, `its data would end at byte ${end}, the file ends at byte ${file.size}`);
    }
  }
  const overlap = findOverlap(
    entries.map(({ info, offset }) => ({ name: info.name, start: offset, end: offset + info.byteLength })),
  );
  if (overlap !== undefined) cursor.fail(overlap[1], `its data overlaps that of ${overlap[0]}`);
  return entries.map(({ info, offset }) => ({ info, file, position: dataStart + offset }));
}

function readTensorEntry(cursor: FileCursor, index: number, fileSize: number): TensorEntry {
  const name = readKey(cursor, `tensor[${index}]`);
  if (!isPlainTensorName(name)) {
    cursor.fail(`tensor[${index}]`, `the name ${quoted(name)} may hold only letters, digits and _ . : -`);
  }
  const dimensions = cursor.u32(`${name}: n_dimensions`);
  if (dimensions < 1 || dimensions > DIMENSIONS_MAX) {
    cursor.fail(name, `has ${dimensions} dimensions; 1 to ${DIMENSIONS_MAX} are supported`);
  }
  const innermostFirst: number[] = [];
  let elements = 1;
  for (let axis = 0; axis < dimensions; axis += 1) {
    const size = cursor.u64(`${name}: dimension ${axis}`);
    elements *= size;
    if (size === 0) cursor.fail(name, `dimension ${axis} is 0`);
    // The densest type has more than one element a byte, but none has more than eight.
    if (elements > fileSize * 8)
      cursor.fail(name, `a shape of ${elements} elements does not fit into the file`);
    innermostFirst.push(size);
  }
  const typeNumber = cursor.u32(`${name}: type`);
  const offset = cursor.u64(`${name}: offset`);
  const type = supportedType(typeNumber);
  if (type === undefined) {
    const supported = SUPPORTED_TYPES.join(", ");
    return cursor.fail(name, `type ${ggmlTypeName(typeNumber)} is not supported; supported: ${supported}`);
  }
  const { blockElements } = TYPE_LAYOUT[type];
  if ((innermostFirst[0] ?? 0) % blockElements !== 0) {
    cursor.fail(
      name,
      `rows of ${innermostFirst[0]} elements are not whole blocks of ${blockElements} (${type})`,
    );
  }
  const shape = innermostFirst.reverse();
  return { info: { name, shape, type, byteLength: byteLengthOf(type, elements) }, offset };
}
