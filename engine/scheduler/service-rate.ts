/**
 * How long a refused client should wait: places open as fast as sequences end, and whoever was refused before has the
 * first claim. So the n-th refused client hears n times the usual interval between two ends, up to a bound: a request is
 * refused once for each of its choices, and many that were refused never come back.
 */
const FIRST_GUESS_MS = 1_000;
const SHORTEST_MS = 50;
const LONGEST_MS = 60_000;
/** Claims that are counted at most; one request with 128 choices must not make later clients wait 128 turns. */
const CLAIMS_MAX = 32;
/** Weight of one new interval in the average. */
const WEIGHT = 0.2;

export class ServiceRate {
  #intervalMs: number | undefined;
  /** Clock.now() from which the running interval counts: the last end, or when work began after a pause. */
  #since = 0;
  #refused = 0;

  /** Work begins after a pause: the pause says nothing about the rate. */
  begin(now: number): void {
    this.#since = now;
    this.#refused = 0;
  }

  /** `count` sequences ended by `now`; what ends in one step shares the interval. */
  departed(count: number, now: number): void {
    if (count === 0) return;
    const interval = Math.max(0, now - this.#since) / count;
    const keep = (1 - WEIGHT) ** count;
    this.#intervalMs =
      this.#intervalMs === undefined ? interval : this.#intervalMs * keep + interval * (1 - keep);
    this.#since = now;
    this.#refused = Math.max(0, this.#refused - count);
  }

  /** Counts a refusal and says when to come back, in ms. */
  refuse(): number {
    this.#refused = Math.min(CLAIMS_MAX, this.#refused + 1);
    const wait = (this.#intervalMs ?? FIRST_GUESS_MS) * this.#refused;
    return Math.round(Math.min(LONGEST_MS, Math.max(SHORTEST_MS, wait)));
  }
}
