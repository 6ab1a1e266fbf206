/**
 * The keys and values of the prompt that is being read, in f32, where the lane's cache is int8.
 *
 * The CPU kernel for an int8 cache computes a single token per row fast, but for a chunk it first widens everything that
 * stands before it to f32, in every layer, for every chunk. Behind 1,000 tokens that is most of a chunk's time. So a prompt
 * is read with an f32 cache, and each chunk's keys and values are rounded into the sequence's slot as soon as they are
 * there; from its first answer token on a sequence only needs the slot. One stage a lane is enough, since a lane reads one
 * prompt at a time.
 */
import { assert } from "../core/assert.ts";
import type { CacheScale } from "../core/model.ts";
import { type ArenaShape, KvArena } from "./kv-arena.ts";

export const stageShape = ({ geometry, capacity }: ArenaShape): ArenaShape => ({
  geometry,
  precision: "f32",
  slots: 1,
  capacity,
});

export class PromptStage {
  /** Of one slot. */
  readonly arena: KvArena;
  readonly #rows: KvArena;
  readonly #scales: readonly CacheScale[];
  /** The slot whose prompt stands here, and how many of its positions; -1: none. */
  #slot = -1;
  #length = 0;

  /** `rows` is the lane's arena, of `shape`. */
  constructor(rows: KvArena, shape: ArenaShape, scales: readonly CacheScale[]) {
    this.arena = new KvArena(stageShape(shape));
    this.#rows = rows;
    this.#scales = scales;
  }

  /** Before a chunk at `start` of a slot's prompt is run: what it attends to must stand here. */
  open(slotIndex: number, start: number): void {
    const here = start === 0 || (slotIndex === this.#slot && start <= this.#length);
    assert(
      here,
      `slot ${slotIndex} goes on at ${start}, but the stage holds slot ${this.#slot} up to ${this.#length}`,
    );
    this.#slot = slotIndex;
    this.#length = start;
  }

  /** After it was run: rounds the chunk's `count` positions into the slot. */
  close(count: number): void {
    this.#rows.roundIn(this.arena, this.#slot, this.#length, count, this.#scales);
    this.#length += count;
  }

  move(from: number, to: number): void {
    if (this.#slot === from) this.#slot = to;
    else if (this.#slot === to) this.clear(to);
  }

  clear(slotIndex: number): void {
    if (this.#slot === slotIndex) this.#slot = -1;
  }

  /** Made-up keys and values for trials, as if they were a slot's. */
  scramble(slotIndex: number, tokens: number): void {
    this.arena.scramble(0, tokens);
    this.#slot = slotIndex;
    this.#length = tokens;
  }

  release(): void {
    this.arena.close();
  }
}
