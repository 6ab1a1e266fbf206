/**
 * What steps cost, learnt from measured times: a decode run by its number of rows, a prefill chunk as
 *
 *     ms = fixed + perToken * tokens + perPair * tokens * (start + tokens / 2)
 *
 * (launch and weights, compute, attention over what stands before it). The chunk's three numbers follow each measurement by
 * normalised least mean squares: the error is shared out by how much each term took part, so long chunks teach the slope and
 * short ones the fixed part, and the prediction at the size in use is always the best known one. One measurement, however
 * wild, moves a prediction by at most WEIGHT * CLIP.
 */

/** Share of a measurement's surprise that is believed at once. */
const WEIGHT = 0.25;
/** A decode run next to a chunk is no clean measurement of a decode run alone: believe it less. */
const WEIGHT_BESIDE_CHUNK = 0.05;
/** A surprise counts as at most this share of what was expected. */
const CLIP = 0.5;
/** The scale at which a term weighs as much as the fixed part: tokens of a chunk, positions before it. */
const TOKENS_SCALE = 16;
const START_SCALE = 1_024;
/** Before anything is known, the fixed part is taken for the time of this many tokens. */
const FIXED_TOKENS_GUESS = 4;

export class StepCosts {
  /** decode[n]: expected ms of a decode run over n rows. */
  readonly #decode: (number | undefined)[] = [];
  /** [fixed, perToken * TOKENS_SCALE, perPair * TOKENS_SCALE * START_SCALE] in ms. */
  #chunk: readonly [number, number, number] | undefined;

  observeDecode(rows: number, ms: number, besideChunk: boolean): void {
    if (!(ms > 0)) return;
    const known = this.#decode[rows];
    const weight = besideChunk ? WEIGHT_BESIDE_CHUNK : WEIGHT;
    this.#decode[rows] = known === undefined ? ms : known + weight * clipped(ms - known, known);
  }

  observeChunk(tokens: number, start: number, ms: number): void {
    if (!(ms > 0)) return;
    if (this.#chunk === undefined) {
      const perToken = ms / (tokens + FIXED_TOKENS_GUESS);
      this.#chunk = [FIXED_TOKENS_GUESS * perToken, TOKENS_SCALE * perToken, 0];
      return;
    }
    const terms = termsOf(tokens, start);
    const expected = dot(this.#chunk, terms);
    const error = clipped(ms - expected, expected);
    // A number that is at zero already cannot take its share of a fall: the others take it.
    const active = terms.map((term, index) => (error < 0 && this.#chunk?.[index] === 0 ? 0 : term));
    const power = active.reduce((sum, term) => sum + term * term, 0);
    if (power === 0) return;
    const step = (WEIGHT * error) / power;
    const [fixed, perToken, perPair] = this.#chunk.map((part, index) =>
      Math.max(0, part + step * (active[index] ?? 0)),
    );
    this.#chunk = [fixed ?? 0, perToken ?? 0, perPair ?? 0];
  }

  /**
   * Expected ms of a decode run over `rows` rows alone. A number of rows not seen yet lies between its neighbours; beyond
   * them it is taken for the nearest one, scaled down (never up) in proportion. Undefined before any decode run.
   */
  decodeMs(rows: number): number | undefined {
    const exact = this.#decode[rows];
    if (exact !== undefined) return exact;
    let below = rows - 1;
    while (below > 0 && this.#decode[below] === undefined) below -= 1;
    let above = rows + 1;
    while (above < this.#decode.length && this.#decode[above] === undefined) above += 1;
    const low = this.#decode[below];
    const high = this.#decode[above];
    if (low === undefined) return high === undefined ? undefined : (high * rows) / above;
    if (high === undefined) return low;
    return low + ((high - low) * (rows - below)) / (above - below);
  }

  /** Undefined before any chunk. */
  chunkMs(tokens: number, start: number): number | undefined {
    return this.#chunk === undefined ? undefined : dot(this.#chunk, termsOf(tokens, start));
  }

  /** The most tokens (with fractions) of a chunk at `start` that is expected to take no longer than `ms`; at least 0. */
  tokensWithin(ms: number, start: number): number | undefined {
    if (this.#chunk === undefined) return undefined;
    const [fixed, scaledPerToken, scaledPerPair] = this.#chunk;
    const room = ms - fixed;
    if (room <= 0) return 0;
    const perPair = scaledPerPair / (TOKENS_SCALE * START_SCALE);
    const slope = scaledPerToken / TOKENS_SCALE + perPair * start;
    return (2 * room) / (slope + Math.sqrt(slope * slope + 2 * perPair * room));
  }
}

const termsOf = (tokens: number, start: number): readonly [number, number, number] => {
  const scaled = tokens / TOKENS_SCALE;
  return [1, scaled, (scaled * (start + tokens / 2)) / START_SCALE];
};

const dot = (a: readonly [number, number, number], b: readonly [number, number, number]): number =>
  a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

const clipped = (error: number, expected: number): number =>
  Math.min(CLIP * expected, Math.max(-CLIP * expected, error));
