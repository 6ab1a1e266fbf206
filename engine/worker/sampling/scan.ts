/**
 * Passes over one row of logits that only compare: the largest one, and the k largest. Hot path, so eight at a time with
 * one predictable branch each; `x <= bar` is false for NaN too, so a damaged row is found without a test of its own.
 */

/** The longest list that TopList keeps; longer cuts go through the buckets (buckets.ts). */
export const TOP_LIST_MAX = 128;

/** Index of the largest logit, the first of ties; -1 where every logit is -Infinity. Throws on NaN and +Infinity. */
export function argmax(row: Float32Array): number {
  const whole = row.length - (row.length % 8);
  let max = -Infinity;
  let best = -1;
  for (let i = 0; i < whole; i += 8) {
    if (allAtMost(row, i, max)) continue;
    best = largestOf(row, i, i + 8, best);
    max = best === -1 ? -Infinity : (row[best] as number);
  }
  return largestOf(row, whole, row.length, best);
}

/** False also where one of the eight is NaN. */
function allAtMost(row: Float32Array, from: number, bar: number): boolean {
  return (
    (row[from] as number) <= bar &&
    (row[from + 1] as number) <= bar &&
    (row[from + 2] as number) <= bar &&
    (row[from + 3] as number) <= bar &&
    (row[from + 4] as number) <= bar &&
    (row[from + 5] as number) <= bar &&
    (row[from + 6] as number) <= bar &&
    (row[from + 7] as number) <= bar
  );
}

function largestOf(row: Float32Array, from: number, to: number, bestBefore: number): number {
  let best = bestBefore;
  for (let i = from; i < to; i += 1) {
    const logit = checked(row[i] as number, i);
    if (best === -1 ? logit > -Infinity : logit > (row[best] as number)) best = i;
  }
  return best;
}

/** The logit itself, unless it shows that the model or its graph is damaged. */
function checked(logit: number, token: number): number {
  if (logit < Infinity) return logit;
  throw new Error(
    `the model's logits are damaged: ${logit} for token ${token}; ` +
      "check the model's files with `weir models verify`, and import it again if they are intact",
  );
}

/** The k largest logits of a row, best first, ties by the smaller id. */
export class TopList {
  readonly values = new Float64Array(TOP_LIST_MAX);
  readonly ids = new Int32Array(TOP_LIST_MAX);
  #size = 0;
  #wanted = 0;

  get size(): number {
    return this.#size;
  }

  /** `wanted` is 1 to TOP_LIST_MAX. Tokens at -Infinity are never listed, so `size` may stay below it. */
  fill(row: Float32Array, wanted: number): void {
    this.#size = 0;
    this.#wanted = wanted;
    const whole = row.length - (row.length % 8);
    let bar = -Infinity;
    for (let i = 0; i < whole; i += 8) {
      if (!allAtMost(row, i, bar)) bar = this.#insertAll(row, i, i + 8, bar);
    }
    this.#insertAll(row, whole, row.length, bar);
  }

  #insertAll(row: Float32Array, from: number, to: number, barBefore: number): number {
    let bar = barBefore;
    for (let i = from; i < to; i += 1) {
      const logit = checked(row[i] as number, i);
      if (logit > bar) bar = this.#insert(logit, i);
    }
    return bar;
  }

  /** Returns the bar that the next logit must pass. Ids come in rising order, so an equal logit goes behind. */
  #insert(logit: number, id: number): number {
    const { values, ids } = this;
    if (this.#size < this.#wanted) this.#size += 1;
    let at = this.#size - 1;
    while (at > 0 && (values[at - 1] as number) < logit) {
      values[at] = values[at - 1] as number;
      ids[at] = ids[at - 1] as number;
      at -= 1;
    }
    values[at] = logit;
    ids[at] = id;
    return this.#size === this.#wanted ? (values[this.#wanted - 1] as number) : -Infinity;
  }
}
