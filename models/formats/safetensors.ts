/**
 * Directories of safetensors: one `model.safetensors`, or shards listed by `model.safetensors.index.json`
 * (source: huggingface/safetensors, README: 8 bytes of header length, JSON of dtype, shape and data_offsets, data).
 *
 * As with GGUF nothing is believed: every range must lie inside its file, fit its shape and overlap no other.
 */
import { closeSync, existsSync } from "node:fs";
import { join } from "node:path";
import { ModelFileError, type TensorStore } from "../source.ts";
import { FileCursor, type OpenedFile, openRegularFile, quoted } from "./file-cursor.ts";
import { byteLengthOf } from "./ggml-types.ts";
import { isRecord, parseJson, readJsonFile } from "./json-file.ts";
import { findOverlap, isPlainTensorName, type PlacedTensor, TensorFiles } from "./tensor-files.ts";

export interface SafetensorsDirectory {
  readonly store: TensorStore;
  /** The files with tensors, and the index where there is one. */
  readonly files: readonly string[];
}

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";
/** The library's own bound is 100 MB; headers of the largest models stay below 1 MB a shard. */
const HEADER_BYTES_MAX = 8 * 2 ** 20;
const INDEX_BYTES_MAX = 8 * 2 ** 20;
const SHARDS_MAX = 1024;
const TENSOR_COUNT_MAX = 65_536;
const DIMENSIONS_MAX = 8;
const SHARD_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\.safetensors$/;
const SUPPORTED = ["F32", "F16", "BF16"] as const;

/** True where a directory has one of the files that the weights begin with. */
export const hasSafetensors = (directory: string): boolean =>
  [SINGLE, INDEX].some((name) => existsSync(join(directory, name)));

/** Reads the headers and leaves the tensors' bytes where they are. The store must be closed by the caller. */
export function openSafetensors(directory: string): SafetensorsDirectory {
  const indexPath = join(directory, INDEX);
  const isSharded = !existsSync(join(directory, SINGLE)) && existsSync(indexPath);
  if (!isSharded && !existsSync(join(directory, SINGLE))) {
    throw new ModelFileError(
      directory,
      SINGLE,
      `is missing, and so is ${INDEX}; other weight files are not read`,
    );
  }
  const index = isSharded ? readIndex(indexPath) : undefined;
  const paths = [...new Set(index?.values() ?? [SINGLE])].map((name) => join(directory, name));
  const opened: OpenedFile[] = [];
  try {
    const placed: PlacedTensor[] = [];
    for (const path of paths) {
      const file = openRegularFile(path);
      opened.push(file);
      placed.push(...readShard(file));
    }
    checkAgainstIndex(directory, placed, index);
    return {
      store: new TensorFiles(directory, opened, placed),
      files: isSharded ? [indexPath, ...paths] : paths,
    };
  } catch (error) {
    for (const file of opened) closeSync(file.descriptor);
    throw error;
  }
}

/** Which shard each tensor is in. */
function readIndex(path: string): ReadonlyMap<string, string> {
  const index = readJsonFile(path, INDEX_BYTES_MAX);
  const map = index["weight_map"];
  if (!isRecord(map)) throw new ModelFileError(path, "weight_map", "must map tensors to files");
  const shards = new Map<string, string>();
  for (const [tensor, shard] of Object.entries(map)) {
    // A plain name: a model directory must not reach for files outside itself.
    if (typeof shard !== "string" || !SHARD_NAME.test(shard)) {
      const shown = typeof shard === "string" ? quoted(shard) : typeof shard;
      throw new ModelFileError(
        path,
        `weight_map ${quoted(tensor)}`,
        `${shown} is not a plain name of a .safetensors file`,
      );
    }
    shards.set(tensor, shard);
  }
  const count = new Set(shards.values()).size;
  if (count === 0 || count > SHARDS_MAX) {
    throw new ModelFileError(path, "weight_map", `names ${count} files; 1 to ${SHARDS_MAX} are supported`);
  }
  return shards;
}

function checkAgainstIndex(
  directory: string,
  placed: readonly PlacedTensor[],
  index: ReadonlyMap<string, string> | undefined,
): void {
  const where = new Map<string, string>();
  for (const { info, file } of placed) {
    const other = where.get(info.name);
    if (other !== undefined)
      throw new ModelFileError(file.path, info.name, `this tensor also stands in ${other}`);
    where.set(info.name, file.path);
  }
  for (const [tensor, shard] of index ?? []) {
    const expected = join(directory, shard);
    if (where.get(tensor) === expected) continue;
    throw new ModelFileError(
      expected,
      quoted(tensor),
      `${INDEX} says that this tensor is here, but it is not`,
    );
  }
}

function readShard(file: OpenedFile): PlacedTensor[] {
  const cursor = new FileCursor(file, 8 + HEADER_BYTES_MAX);
  const length = cursor.u64("header length");
  if (length > HEADER_BYTES_MAX) {
    cursor.fail("header length", `is ${length} bytes; the longest read is ${HEADER_BYTES_MAX}`);
  }
  const header = parseJson(file.path, "header", cursor.bytes(length, "header"));
  const dataStart = cursor.position;
  const names = Object.keys(header).filter((name) => name !== "__metadata__");
  if (names.length > TENSOR_COUNT_MAX) {
    cursor.fail("header", `lists ${names.length} tensors; the most read are ${TENSOR_COUNT_MAX}`);
  }
  const placed = names.map((name) => placeTensor(cursor, file, name, header[name], dataStart));
  const ranges = placed.map(({ info, position }) => ({
    name: info.name,
    start: position,
    end: position + info.byteLength,
  }));
  const overlap = findOverlap(ranges);
  if (overlap !== undefined) cursor.fail(overlap[1], `its data overlaps that of ${overlap[0]}`);
  return placed;
}

function placeTensor(
  cursor: FileCursor,
  file: OpenedFile,
  name: string,
  entry: unknown,
  dataStart: number,
): PlacedTensor {
  if (!isPlainTensorName(name)) {
    cursor.fail("header", `the tensor name ${quoted(name)} may hold only letters, digits and _ . : -`);
  }
  if (!isRecord(entry)) return cursor.fail(name, "must have dtype, shape and data_offsets");
  const { dtype, shape, data_offsets: offsets } = entry;
  const type = SUPPORTED.find((supported) => supported === dtype);
  if (type === undefined) {
    const shown = typeof dtype === "string" ? quoted(dtype) : typeof dtype;
    return cursor.fail(name, `type ${shown} is not supported; supported: ${SUPPORTED.join(", ")}`);
  }
  if (!isCounts(shape) || shape.length > DIMENSIONS_MAX) {
    return cursor.fail(name, `shape must be at most ${DIMENSIONS_MAX} whole numbers`);
  }
  if (!isCounts(offsets) || offsets.length !== 2)
    return cursor.fail(name, "data_offsets must be two whole numbers");
  const [start, end] = offsets as readonly [number, number];
  const byteLength = byteLengthOf(
    type,
    shape.reduce((product, size) => product * size, 1),
  );
  if (end - start !== byteLength) {
    cursor.fail(name, `data_offsets span ${end - start} bytes, its shape takes ${byteLength}`);
  }
  if (dataStart + end > file.size) {
    cursor.fail(name, `its data would end at byte ${dataStart + end}, the file ends at byte ${file.size}`);
  }
  return { info: { name, shape, type, byteLength }, file, position: dataStart + start };
}

const isCounts = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
