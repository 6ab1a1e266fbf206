/** What a decode run costs by its number of rows, learnt from measured times: moving averages, wild values clipped. */

/** Share of a measurement's surprise that is believed at once. */
const WEIGHT = 0.25;
/** A decode run next to a chunk is no clean measurement of a decode run alone: believe it less. */
const WEIGHT_BESIDE_CHUNK = 0.05;
/**
 * A surprise counts as at most this share of what was expected: one measurement moves the average by an
 * eighth at most.
 */
const CLIP = 0.5;
/** Runs alone of which the slowest are known, as shares of what was expected; and what is taken until there are some. */
const RECENT_MAX = 64;
const RECENT_LEAST = 20;
const SLOWNESS_GUESS = 1.1;

export class DecodeCost {
  /** byRows[n]: ms of a run over n rows. */
  readonly #byRows: (number | undefined)[] = [];
  /** Of the last runs alone: ms over what was expected. */
  readonly #recent: number[] = [];

  /** Times that are not above zero are ignored. */
  observe(rows: number, ms: number, besideChunk: boolean): void {
    if (!(ms > 0)) return;
    const known = this.#byRows[rows];
    if (known === undefined) {
      this.#byRows[rows] = ms;
      return;
    }
    if (!besideChunk) {
      this.#recent.push(ms / known);
      if (this.#recent.length > RECENT_MAX) this.#recent.shift();
    }
    const most = CLIP * known;
    const surprise = Math.min(most, Math.max(-most, ms - known));
    this.#byRows[rows] = known + (besideChunk ? WEIGHT_BESIDE_CHUNK : WEIGHT) * surprise;
  }

  /**
   * Expected ms of a run over `rows` rows. A number of rows not seen yet lies between its neighbours; beyond
   * them it is taken for the nearest one, scaled down (never up) in proportion. Undefined before any run.
   */
  ms(rows: number): number | undefined {
    const exact = this.#byRows[rows];
    if (exact !== undefined) return exact;
    let below = rows - 1;
    while (below > 0 && this.#byRows[below] === undefined) below -= 1;
    let above = rows + 1;
    while (above < this.#byRows.length && this.#byRows[above] === undefined) above += 1;
    const low = this.#byRows[below];
    const high = this.#byRows[above];
    if (low === undefined) return high === undefined ? undefined : (high * rows) / above;
    if (high === undefined) return low;
    return low + ((high - low) * (rows - below)) / (above - below);
  }

  /** The 95th percentile of recent runs alone over what was expected of them; at least 1. */
  get slowness(): number {
    if (this.#recent.length < RECENT_LEAST) return SLOWNESS_GUESS;
    const sorted = [...this.#recent].sort((a, b) => a - b);
    return Math.max(1, sorted[Math.floor(0.95 * sorted.length)] as number);
  }
}
