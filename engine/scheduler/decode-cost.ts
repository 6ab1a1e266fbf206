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
/** From the mean absolute deviation to the distance of the 95th percentile, were the noise Gaussian: 1.645 / 0.798. */
const P95_DEVIATIONS = 2.06;

interface Average {
  readonly ms: number;
  /** Mean absolute deviation from it. */
  readonly deviationMs: number;
}

export class DecodeCost {
  /** byRows[n]: a run over n rows. */
  readonly #byRows: (Average | undefined)[] = [];

  /** Times that are not above zero are ignored. */
  observe(rows: number, ms: number, besideChunk: boolean): void {
    if (!(ms > 0)) return;
    const known = this.#byRows[rows];
    if (known === undefined) {
      this.#byRows[rows] = { ms, deviationMs: 0 };
      return;
    }
    const weight = besideChunk ? WEIGHT_BESIDE_CHUNK : WEIGHT;
    const most = CLIP * known.ms;
    const surprise = Math.min(most, Math.max(-most, ms - known.ms));
    const deviationMs = known.deviationMs + weight * (Math.abs(surprise) - known.deviationMs);
    this.#byRows[rows] = { ms: known.ms + weight * surprise, deviationMs };
  }

  /**
   * Expected ms of a run over `rows` rows. A number of rows not seen yet lies between its neighbours; beyond
   * them it is taken for the nearest one, scaled down (never up) in proportion. Undefined before any run.
   */
  ms(rows: number): number | undefined {
    const exact = this.#byRows[rows];
    if (exact !== undefined) return exact.ms;
    let below = rows - 1;
    while (below > 0 && this.#byRows[below] === undefined) below -= 1;
    let above = rows + 1;
    while (above < this.#byRows.length && this.#byRows[above] === undefined) above += 1;
    const low = this.#byRows[below]?.ms;
    const high = this.#byRows[above]?.ms;
    if (low === undefined) return high === undefined ? undefined : (high * rows) / above;
    if (high === undefined) return low;
    return low + ((high - low) * (rows - below)) / (above - below);
  }

  /** About the 95th percentile of a run over `rows` rows, in ms; undefined before the first such run. */
  msP95(rows: number): number | undefined {
    const known = this.#byRows[rows];
    return known === undefined ? undefined : known.ms + P95_DEVIATIONS * known.deviationMs;
  }
}
