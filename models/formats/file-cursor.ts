/**
 * Reads a file's header forward, in windows, and never past a bound.
 * Every length is checked against the bytes that are left before anything is allocated for it.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { ModelFileError } from "../source.ts";

/** Text from a file, for a message: quoted, so that control characters and length do no harm. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}

export interface OpenedFile {
  readonly path: string;
  readonly descriptor: number;
  readonly size: number;
}

/** Opens a regular file for reading. A pipe or device is refused: reading it could wait for ever. */
export function openRegularFile(path: string): OpenedFile {
  let descriptor: number | undefined;
  try {
    // Opening a pipe must not wait for a writer (Windows has neither the flag nor the problem).
    descriptor = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) throw new ModelFileError(path, "file", "is not a regular file");
    return { path, descriptor, size: stat.size };
  } catch (error) {
    if (descriptor !== undefined) closeSync(descriptor);
    if (error instanceof ModelFileError) throw error;
    throw new ModelFileError(
      path,
      "file",
      `cannot be opened (${(error as NodeJS.ErrnoException).code ?? error})`,
    );
  }
}

/** Fills `target` from `position` on; `field` names what was being read, should the file have shrunk meanwhile. */
export function readFully(file: OpenedFile, target: Uint8Array, position: number, field: string): void {
  let done = 0;
  while (done < target.length) {
    let count: number;
    try {
      count = readSync(file.descriptor, target, done, target.length - done, position + done);
    } catch (error) {
      throw new ModelFileError(
        file.path,
        field,
        `cannot be read (${(error as NodeJS.ErrnoException).code ?? error})`,
      );
    }
    if (count === 0) throw new ModelFileError(file.path, field, `the file ends at byte ${position + done}`);
    done += count;
  }
}

const WINDOW_BYTES = 1 << 16;

export class FileCursor {
  readonly #file: OpenedFile;
  readonly #end: number;
  #window = Buffer.alloc(0);
  #windowStart = 0;
  #position = 0;

  /** Reads from byte 0 to before `end`, at most the file's size. */
  constructor(file: OpenedFile, end: number) {
    this.#file = file;
    this.#end = Math.min(end, file.size);
  }

  get position(): number {
    return this.#position;
  }

  get left(): number {
    return this.#end - this.#position;
  }

  fail(field: string, problem: string): never {
    throw new ModelFileError(this.#file.path, field, problem);
  }

  /** Checks that `bytes` more can be there at all, before anything is allocated for them. */
  require(bytes: number, field: string): void {
    if (bytes <= this.left) return;
    const where =
      this.#end < this.#file.size ? `the largest header read is ${this.#end} bytes` : "the file ends";
    this.fail(field, `needs ${bytes} bytes at byte ${this.#position}, ${this.left} are left: ${where}`);
  }

  u8(field: string): number {
    const at = this.#take(1, field);
    return this.#window.readUInt8(at);
  }

  u32(field: string): number {
    const at = this.#take(4, field);
    return this.#window.readUInt32LE(at);
  }

  /** A count, length or offset. Above 2^53 it cannot be true of any file. */
  u64(field: string): number {
    const at = this.#take(8, field);
    const value = this.#window.readBigUInt64LE(at);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) this.fail(field, `${value} is out of any file's range`);
    return Number(value);
  }

  /** A fresh copy of the next `length` bytes. */
  bytes(length: number, field: string): Uint8Array<ArrayBuffer> {
    this.require(length, field);
    const target = new Uint8Array(length);
    if (length <= WINDOW_BYTES) {
      const at = this.#take(length, field);
      target.set(this.#window.subarray(at, at + length));
    } else {
      readFully(this.#file, target, this.#position, field);
      this.#position += length;
    }
    return target;
  }

  /** UTF-8; a broken sequence becomes U+FFFD. */
  text(length: number, field: string): string {
    if (length > WINDOW_BYTES) return Buffer.from(this.bytes(length, field).buffer).toString("utf8");
    const at = this.#take(length, field);
    return this.#window.toString("utf8", at, at + length);
  }

  /** Moves past `length` bytes and returns where they lie in the window. */
  #take(length: number, field: string): number {
    this.require(length, field);
    let at = this.#position - this.#windowStart;
    if (at < 0 || at + length > this.#window.length) {
      const size = Math.min(Math.max(WINDOW_BYTES, length), this.#end - this.#position);
      const window = this.#window.length === size ? this.#window : Buffer.alloc(size);
      readFully(this.#file, window, this.#position, field);
      this.#window = window;
      this.#windowStart = this.#position;
      at = 0;
    }
    this.#position += length;
    return at;
  }
}
