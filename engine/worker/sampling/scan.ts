/**
 * Passes over one row of logits that only compare: the largest one, and the k largest. Hot path, so unrolled, with one
 * predictable branch an element. `!(x <= bar)` is also true for NaN: a damaged row is found without a test of its own.
 */

/** The longest list that TopList keeps; longer cuts go through the buckets (buckets.ts). */
export const TOP_LIST_MAX = 128;

/** Index of the largest logit, the first of ties; -1 where every logit is -Infinity. Throws on NaN and +Infinity. */
export function argmax(row: Float32Array): number {
  const { length } = row;
  const whole = length - (length % 8);
  let max = -Infinity;
  let best = -1;
  let i = 0;
  for (; i < whole; i += 8) {
    const a = row[i] as number;
    const b = row[i + 1] as number;
    const c = row[i + 2] as number;
    const d = row[i + 3] as number;
    const e = row[i + 4] as number;
    const f = row[i + 5] as number;
    const g = row[i + 6] as number;
    const h = row[i + 7] as number;
    if (!(a <= max)) max = checked(a, (best = i));
    if (!(b <= max)) max = checked(b, (best = i + 1));
    if (!(c <= max)) max = checked(c, (best = i + 2));
    if (!(d <= max)) max = checked(d, (best = i + 3));
    if (!(e <= max)) max = checked(e, (best = i + 4));
    if (!(f <= max)) max = checked(f, (best = i + 5));
    if (!(g <= max)) max = checked(g, (best = i + 6));
    if (!(h <= max)) max = checked(h, (best = i + 7));
  }
  for (; i < length; i += 1) {
    const a = row[i] as number;
    if (!(a <= max)) max = checked(a, (best = i));
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
    const { length } = row;
    const whole = length - (length % 4);
    let bar = -Infinity;
    let i = 0;
    for (; i < whole; i += 4) {
      const a = row[i] as number;
      const b = row[i + 1] as number;
      const c = row[i + 2] as number;
      const d = row[i + 3] as number;
      if (!(a <= bar)) bar = this.#insert(a, i);
      if (!(b <= bar)) bar = this.#insert(b, i + 1);
      if (!(c <= bar)) bar = this.#insert(c, i + 2);
      if (!(d <= bar)) bar = this.#insert(d, i + 3);
    }
    for (; i < length; i += 1) {
      const a = row[i] as number;
      if (!(a <= bar)) bar = this.#insert(a, i);
    }
  }

  /** Returns the bar that the next logit must pass. Ids come in rising order, so an equal logit goes behind. */
  #insert(logit: number, id: number): number {
    const { values, ids } = this;
    checked(logit, id);
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
