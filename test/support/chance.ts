/** A stream of chances from one seed, for simulations that must replay. */
import { uniform } from "../../engine/core/random.ts";

export class Chance {
  readonly #seed: number;
  #position = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Whole number from low to high, both included. */
  between(low: number, high: number): number {
    this.#position += 1;
    return low + Math.floor(uniform(this.#seed, this.#position) * (high - low + 1));
  }

  oneIn(count: number): boolean {
    return this.between(1, count) === 1;
  }
}
