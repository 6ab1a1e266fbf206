/**
 * The bits of one table on disk: blocks of 4096 bytes, each with the checksum of its other 4092; the first is the head. A block
 * goes to the system in one write, so a crash of the process leaves it as it was or as it is. Blocks without a bit are holes.
 *
 * The head counts bits, after they are written: so there may be more of them than it says, and where there are fewer, some
 * were lost. One process writes.
 */
import {
  closeSync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  writeSync,
} from "node:fs";
import { crc32 } from "node:zlib";
import { assert } from "../../core/assert.ts";

const BLOCK = 4096;
const CHECKSUM = 4;
const PAYLOAD = BLOCK - CHECKSUM;
const MAGIC = Buffer.from("weir pins 2\n");
const KEY_ID_AT = CHECKSUM + MAGIC.length;
const KEY_ID_BYTES = 16;
const COUNT_AT = KEY_ID_AT + KEY_ID_BYTES;
const FOLLOWED_AT = COUNT_AT + 8;

/** What was remembered cannot be trusted: weir must not start as if nothing had been. */
export class PinsError extends Error {
  override readonly name = "PinsError";
}

export class PinFile {
  /** All bits; whoever sets one says so to `write`. */
  readonly bytes: Uint8Array;
  /** Bits that the file holds at the least. */
  readonly count: number;
  /** Another table was begun after this one; the next `write` keeps it. */
  followed: boolean;
  /** Undefined once it is closed: the number may be another file's then. */
  #file: number | undefined;
  readonly #keyId: Uint8Array;

  private constructor(file: number, bytes: Uint8Array, keyId: Uint8Array, head: Buffer) {
    this.#file = file;
    this.bytes = bytes;
    this.#keyId = keyId;
    this.count = Number(head.readBigUInt64LE(COUNT_AT));
    this.followed = head[FOLLOWED_AT] !== 0;
  }

  /** An empty one, over whatever is there; on disk when this returns. */
  static create(path: string, byteCount: number, keyId: Uint8Array): void {
    const file = openSync(path, "w", 0o600);
    try {
      ftruncateSync(file, sizeFor(byteCount));
      writeWhole(file, headOf(keyId, { count: 0, followed: false }), 0);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  }

  /** Whether a file holds anything but a head and holes; it need not be whole. */
  static holdsBits(path: string): boolean {
    return readFileSync(path)
      .subarray(BLOCK)
      .some((byte) => byte !== 0);
  }

  /** Throws PinsError where it is damaged, or was written with another key. */
  static open(path: string, byteCount: number, keyId: Uint8Array): PinFile {
    const file = openSync(path, "r+");
    try {
      const stored = readWhole(file, path, sizeFor(byteCount));
      const head = stored.subarray(0, BLOCK);
      if (isZero(head) || !isWhole(head) || !head.subarray(CHECKSUM, KEY_ID_AT).equals(MAGIC)) {
        throw damaged(path, "its head cannot be read");
      }
      if (!head.subarray(KEY_ID_AT, COUNT_AT).equals(keyId))
        throw damaged(path, "it was written with another key");
      const bytes = new Uint8Array(byteCount);
      for (let at = BLOCK, index = 0; at < stored.length; at += BLOCK, index += 1) {
        const block = stored.subarray(at, at + BLOCK);
        if (isZero(block)) continue;
        if (!isWhole(block)) throw damaged(path, `block ${index} does not match its checksum`);
        bytes.set(
          block.subarray(CHECKSUM, CHECKSUM + Math.min(PAYLOAD, byteCount - index * PAYLOAD)),
          index * PAYLOAD,
        );
      }
      return new PinFile(file, bytes, keyId, head);
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  /** Hands the changed bytes to the system; `count`: of all bits that are set now. Throws where that fails. */
  write(changed: readonly number[], count: number): void {
    assert(this.#file !== undefined, "a file that is closed is not written");
    for (const index of new Set(changed.map((offset) => Math.floor(offset / PAYLOAD)))) {
      const block = Buffer.alloc(BLOCK);
      block.set(this.bytes.subarray(index * PAYLOAD, (index + 1) * PAYLOAD), CHECKSUM);
      writeWhole(this.#file, sealed(block), (index + 1) * BLOCK);
    }
    writeWhole(this.#file, headOf(this.#keyId, { count, followed: this.followed }), 0);
  }

  /** Forces what was written to disk. It must not be closed meanwhile. */
  sync(): Promise<void> {
    const file = this.#file;
    assert(file !== undefined, "a file that is closed is not forced to disk");
    return new Promise((resolve, reject) => {
      fsync(file, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}

export const damaged = (path: string, what: string): PinsError =>
  new PinsError(
    `${path} is damaged: ${what}. It holds which conversations stay in the house, so weir does not start without it. ` +
      "Put a copy back; or move its folder aside, which forgets all of them.",
  );

const sizeFor = (byteCount: number): number => BLOCK * (1 + Math.ceil(byteCount / PAYLOAD));

function headOf(
  keyId: Uint8Array,
  { count, followed }: { readonly count: number; readonly followed: boolean },
): Buffer {
  const head = Buffer.alloc(BLOCK);
  head.set(MAGIC, CHECKSUM);
  head.set(keyId, KEY_ID_AT);
  head.writeBigUInt64LE(BigInt(count), COUNT_AT);
  head[FOLLOWED_AT] = followed ? 1 : 0;
  return sealed(head);
}

function sealed(block: Buffer): Buffer {
  block.writeUInt32LE(crc32(block.subarray(CHECKSUM)), 0);
  return block;
}

const isWhole = (block: Buffer): boolean => block.readUInt32LE(0) === crc32(block.subarray(CHECKSUM));

const isZero = (block: Buffer): boolean => block.equals(ZERO_BLOCK);
const ZERO_BLOCK = Buffer.alloc(BLOCK);

function readWhole(file: number, path: string, size: number): Buffer {
  const found = fstatSync(file).size;
  if (found !== size) throw damaged(path, `it has ${found} bytes instead of ${size}`);
  const bytes = Buffer.alloc(size);
  let filled = 0;
  while (filled < size) {
    const got = readSync(file, bytes, filled, size - filled, filled);
    if (got === 0) throw damaged(path, "it ends too soon");
    filled += got;
  }
  return bytes;
}

function writeWhole(file: number, bytes: Buffer, position: number): void {
  let written = 0;
  while (written < bytes.length) {
    written += writeSync(file, bytes, written, bytes.length - written, position + written);
  }
}
