/**
 * A bucket that holds one minute's worth and fills at that pace. What is taken may turn out to be less or more: then the
 * bucket stands as if the real amount had been known when it was taken. Giving back what is left over would let more through
 * than a minute's worth, where the bucket was full again in between.
 *
 * All amounts are whole numbers of 1/60000 of a token, so that a millisecond's worth is one, and nothing is lost to rounding.
 */
const UNITS = 60_000;

/** What happens to a level over some time: x becomes min(x + add, most). Two of them one after the other are one again. */
interface Flow {
  readonly add: number;
  readonly most: number;
}

const NOTHING: Flow = { add: 0, most: Number.POSITIVE_INFINITY };
const through = (level: number, { add, most }: Flow): number => Math.min(level + add, most);
const then = (first: Flow, next: Flow): Flow => ({
  add: first.add + next.add,
  most: Math.min(first.most + next.add, next.most),
});

/** Taken, and not settled yet. */
export interface Charge {
  readonly units: number;
  /** From then to the next open charge, or to the present. */
  since: Flow;
}

export class TokenBucket {
  #perMinute: number;
  #atMs: number;
  /** Where the first open charge finds it; without one, now. */
  #level: number;
  /** In the order in which they were taken. */
  readonly #open: Charge[] = [];

  constructor(perMinute: number, nowMs: number) {
    this.#perMinute = perMinute;
    this.#atMs = Math.floor(nowMs);
    this.#level = this.#capacity;
  }

  get perMinute(): number {
    return this.#perMinute;
  }

  /** Tokens; below 0 where more was used than was taken. */
  get left(): number {
    return this.#now / UNITS;
  }

  /** Until it is full if nothing is taken, in whole ms. */
  get fullInMs(): number {
    return this.#msUntil(this.#capacity);
  }

  /** True where it is as good as a new one. */
  get isIdle(): boolean {
    return this.#open.length === 0 && this.#level === this.#capacity;
  }

  /** Time that goes back counts as none: it fills nothing, and what comes after it fills again. */
  advance(nowMs: number, perMinute: number = this.#perMinute): void {
    const elapsedMs = Math.max(0, Math.floor(nowMs) - this.#atMs);
    this.#atMs = Math.floor(nowMs);
    this.#append(this.#open.length, { add: elapsedMs * this.#perMinute, most: this.#capacity });
    if (perMinute === this.#perMinute) return;
    this.#perMinute = perMinute;
    this.#append(this.#open.length, { add: 0, most: this.#capacity });
  }

  /** Until so many tokens can be taken if nothing else is, in whole ms; 0: now. Infinite for more than it can hold. */
  waitMs(tokens: number): number {
    return tokens > this.#perMinute ? Number.POSITIVE_INFINITY : this.#msUntil(tokens * UNITS);
  }

  /** Whether it holds as many or not. */
  take(tokens: number): Charge {
    const charge = { units: tokens * UNITS, since: NOTHING };
    this.#open.push(charge);
    return charge;
  }

  /** Once a charge. */
  settle(charge: Charge, tokens: number): void {
    const index = this.#open.indexOf(charge);
    this.#open.splice(index, 1);
    this.#append(index, then({ ...NOTHING, add: -tokens * UNITS }, charge.since));
  }

  get #capacity(): number {
    return this.#perMinute * UNITS;
  }

  get #now(): number {
    return this.#open.reduce((level, { units, since }) => through(level - units, since), this.#level);
  }

  #msUntil(level: number): number {
    return Math.max(0, Math.ceil((level - this.#now) / this.#perMinute));
  }

  /** Behind the first `count` open charges. */
  #append(count: number, flow: Flow): void {
    const before = this.#open[count - 1];
    if (before === undefined) this.#level = through(this.#level, flow);
    else before.since = then(before.since, flow);
  }
}
