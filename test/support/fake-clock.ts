/** A clock that stands still until a test moves it. */
import type { Clock } from "../../engine/core/clock.ts";

export class FakeClock implements Clock {
  #now: number;

  constructor(startMs = 1_000) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  /** 2026-01-01 UTC plus the time that has passed. */
  wall(): number {
    return 1_767_225_600_000 + this.#now;
  }

  advance(ms: number): void {
    this.#now += ms;
  }
}
