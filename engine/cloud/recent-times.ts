/** The last so many durations, and what 95 of 100 of them keep to. */

export interface RecentTimesOptions {
  /** With fewer there is no p95: nobody knows yet what is usual. */
  readonly samplesMin: number;
  /** Older ones are forgotten. */
  readonly samplesMax: number;
}

export class RecentTimes {
  readonly #options: RecentTimesOptions;
  readonly #times: number[] = [];
  #next = 0;

  constructor(options: RecentTimesOptions) {
    this.#options = options;
  }

  add(ms: number): void {
    this.#times[this.#next] = ms;
    this.#next = (this.#next + 1) % this.#options.samplesMax;
  }

  /** In ms. */
  get p95(): number | undefined {
    if (this.#times.length < this.#options.samplesMin) return undefined;
    const sorted = this.#times.toSorted((a, b) => a - b);
    return sorted[Math.ceil(sorted.length * 0.95) - 1];
  }
}
