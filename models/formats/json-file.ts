/** JSON files of a model directory: bounded, and every failure names the file. */
import { closeSync } from "node:fs";
import { ModelFileError } from "../source.ts";
import { openRegularFile, readFully } from "./file-cursor.ts";

export type Json = Readonly<Record<string, unknown>>;

export const isRecord = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Throws ModelFileError if there is no such file, or it is longer than `bytesMax`. */
export const readTextFile = (path: string, bytesMax: number): string =>
  readBytes(path, bytesMax).toString("utf8");

/** The object in a JSON file. */
export const readJsonFile = (path: string, bytesMax: number): Json =>
  parseJson(path, "file", readBytes(path, bytesMax));

/** The object in a piece of JSON; `field` names the piece. */
export function parseJson(path: string, field: string, bytes: Uint8Array): Json {
  if (isDeep(bytes)) throw new ModelFileError(path, field, `nests deeper than ${NESTING_MAX}`);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"));
  } catch {
    throw new ModelFileError(path, field, "is not JSON");
  }
  if (!isRecord(value)) throw new ModelFileError(path, field, "must hold a JSON object");
  return value;
}

function readBytes(path: string, bytesMax: number): Buffer {
  const file = openRegularFile(path);
  try {
    if (file.size > bytesMax) {
      throw new ModelFileError(path, "file", `has ${file.size} bytes; the longest read is ${bytesMax}`);
    }
    const bytes = Buffer.alloc(file.size);
    readFully(file, bytes, 0, "file");
    return bytes;
  } finally {
    closeSync(file.descriptor);
  }
}

const NESTING_MAX = 64;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Megabytes of open brackets take the parser seconds, and whoever walks the result its stack. */
function isDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) at = endOfText(bytes, at);
    else if (byte === 0x5b || byte === 0x7b) depth += 1;
    else if (byte === 0x5d || byte === 0x7d) depth -= 1;
    if (depth > NESTING_MAX) return true;
  }
  return false;
}

/** Where the text that begins at `start` has its closing quote, or the end of the bytes. */
function endOfText(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}
