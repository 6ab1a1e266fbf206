/**
 * What a prefill chunk costs, learnt from measured times, as
 *
 *     ms = fixed + perToken * tokens + perPair * tokens * (start + tokens / 2) + perStart * start
 *
 * (launch and weights, compute, attention over what stands before it, and what it costs to lay that out for the
 * attention once). The four numbers follow each
 * measurement by normalised least mean squares: the error is shared out by how much each term took part, so
 * long chunks teach the slope and short ones the fixed part, and the prediction near the size in use is
 * always the best known one. One measurement, however wild, moves a prediction by at most WEIGHT * CLIP of
 * itself.
 */

/** Share of a measurement's surprise that is believed at once. */
const WEIGHT = 0.25;
/** A surprise counts as at most this share of what was expected. */
const CLIP = 0.5;
/** The scale at which a term weighs as much as the fixed part: tokens of a chunk, positions before it. */
const TOKENS_SCALE = 16;
const START_SCALE = 1_024;
/** Before anything is known, the fixed part is taken for the time of this many tokens. */
const FIXED_TOKENS_GUESS = 4;

/**
 * For [1, tokens / TOKENS_SCALE, that * (start + tokens / 2) / START_SCALE, start / START_SCALE]: the terms, and what
 * one of each costs in ms.
 */
type Terms = readonly [number, number, number, number];

export class ChunkCost {
  #cost: Terms | undefined;

  /** Times that are not above zero are ignored. */
  observe(tokens: number, start: number, ms: number): void {
    if (!(ms > 0)) return;
    if (this.#cost === undefined) {
      const perToken = ms / (tokens + FIXED_TOKENS_GUESS);
      this.#cost = [FIXED_TOKENS_GUESS * perToken, TOKENS_SCALE * perToken, 0, 0];
      return;
    }
    this.#cost = corrected(this.#cost, termsOf(tokens, start), ms);
  }

  /** Undefined before any chunk. */
  ms(tokens: number, start: number): number | undefined {
    return this.#cost === undefined ? undefined : dot(this.#cost, termsOf(tokens, start));
  }

  /**
   * The most tokens (with fractions) of a chunk at `start` that is expected to take no longer than `ms`; at
   * least 0.
   */
  tokensWithin(ms: number, start: number): number | undefined {
    if (this.#cost === undefined) return undefined;
    const [fixed, scaledPerToken, scaledPerPair, scaledPerStart] = this.#cost;
    const room = ms - fixed - (scaledPerStart * start) / START_SCALE;
    if (room <= 0) return 0;
    const perPair = scaledPerPair / (TOKENS_SCALE * START_SCALE);
    const slope = scaledPerToken / TOKENS_SCALE + perPair * start;
    // The positive root of  perPair / 2 * n^2 + slope * n = room,  in the form that is safe for perPair = 0.
    return (2 * room) / (slope + Math.sqrt(slope * slope + 2 * perPair * room));
  }
}

function corrected(cost: Terms, terms: Terms, ms: number): Terms {
  const expected = dot(cost, terms);
  const error = Math.min(CLIP * expected, Math.max(-CLIP * expected, ms - expected));
  // A number that is at zero already cannot take its share of a fall: the others take it.
  const share = (index: 0 | 1 | 2 | 3): number => (error < 0 && cost[index] === 0 ? 0 : terms[index]);
  const shares: Terms = [share(0), share(1), share(2), share(3)];
  const power = dot(shares, shares);
  if (power === 0) return cost;
  const next = (index: 0 | 1 | 2 | 3): number =>
    Math.max(0, cost[index] + (WEIGHT * error * shares[index]) / power);
  return [next(0), next(1), next(2), next(3)];
}

const termsOf = (tokens: number, start: number): Terms => {
  const scaled = tokens / TOKENS_SCALE;
  return [1, scaled, (scaled * (start + tokens / 2)) / START_SCALE, start / START_SCALE];
};

const dot = (a: Terms, b: Terms): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
