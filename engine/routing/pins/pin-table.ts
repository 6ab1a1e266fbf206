/**
 * A set that never forgets, never grows and holds nothing of what was put into it: a Bloom filter (1970) over digests. It may
 * say yes for what was never added, the more so the fuller it is, and never no for what was.
 */
import { assert } from "../../core/assert.ts";

/** Bits for each digest: with fewer, a table that may be wrong so rarely holds less than half as many. */
const POSITIONS = 8;

export class PinTable {
  readonly #bytes: Uint8Array;
  readonly #mask: number;
  #set: number;

  /** Keeps its bits in `bytes`, whose length is a power of two, at most 2^29. */
  constructor(bytes: Uint8Array) {
    const bits = bytes.length * 8;
    assert(bits >= 32 && bits <= 2 ** 32 && Number.isInteger(Math.log2(bits)), "a power of two is a mask");
    this.#bytes = bytes;
    this.#mask = bits - 1;
    this.#set = countBits(bytes);
  }

  /** Bits that are set. */
  get set(): number {
    return this.#set;
  }

  /** 0..1: how often one digest that was never added is taken for one that was. */
  get falseAlarms(): number {
    return (this.#set / (this.#mask + 1)) ** POSITIONS;
  }

  /** How many digests may be added before it is wrong this often, 0..1. */
  roomAt(falseAlarms: number): number {
    return digestsFor(falseAlarms ** (1 / POSITIONS), this.#mask + 1);
  }

  /** About how many digests were added. */
  get digests(): number {
    return digestsFor(this.#set / (this.#mask + 1), this.#mask + 1);
  }

  /** `digest`: hex of an even hash of 32 bytes. Returns the offsets of the bytes that changed. */
  add(digest: string): readonly number[] {
    const changed = new Set<number>();
    for (let index = 0; index < POSITIONS; index += 1) {
      const position = this.#position(digest, index);
      const at = position >>> 3;
      const before = this.#bytes[at] as number;
      const after = before | (1 << (position & 7));
      if (after === before) continue;
      this.#bytes[at] = after;
      this.#set += 1;
      changed.add(at);
    }
    return [...changed];
  }

  /** Most digests are none of its own, which the first bits already say. */
  has(digest: string): boolean {
    for (let index = 0; index < POSITIONS; index += 1) {
      const position = this.#position(digest, index);
      if (((this.#bytes[position >>> 3] as number) & (1 << (position & 7))) === 0) return false;
    }
    return true;
  }

  #position(digest: string, index: number): number {
    const part = Number.parseInt(digest.slice(index * DIGITS, (index + 1) * DIGITS), 16);
    assert(!Number.isNaN(part), "a digest has four bytes for each position");
    return (part & this.#mask) >>> 0;
  }
}

/** How many digests set this share of so many bits, when some set the same ones. */
const digestsFor = (share: number, bits: number): number => (-Math.log(1 - share) * bits) / POSITIONS;

/** Of hex, for each position: 32 bits. */
const DIGITS = 8;

/** Most tables are nearly empty: four bytes at a time. */
function countBits(bytes: Uint8Array): number {
  let count = 0;
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
  for (let index = 0; index < words.length; index += 1) {
    for (let rest = words[index] as number; rest !== 0; rest &= rest - 1) count += 1;
  }
  return count;
}
