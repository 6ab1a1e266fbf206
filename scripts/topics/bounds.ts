/** Exact (Clopper-Pearson) bounds of a share, by bisection over the binomial distribution. */

export interface Bounds {
  readonly low: number;
  readonly high: number;
}

/** Chance that the true share lies outside, both sides together. */
const OUTSIDE = 0.05;

/** 95 % bounds of the share behind `hits` of `n`. Of nothing nothing is known: 0 to 1. */
export function clopperPearson(hits: number, n: number): Bounds {
  if (n === 0) return { low: 0, high: 1 };
  return {
    low: hits === 0 ? 0 : bisect((share) => atLeast(hits, n, share) < OUTSIDE / 2),
    high: hits === n ? 1 : bisect((share) => 1 - atLeast(hits + 1, n, share) > OUTSIDE / 2),
  };
}

/** The share up to which `below` holds. */
function bisect(below: (share: number) => boolean): number {
  let low = 0;
  let high = 1;
  for (let step = 0; step < 60; step += 1) {
    const middle = (low + high) / 2;
    if (below(middle)) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** P(X >= hits) of a binomial variable. */
function atLeast(hits: number, n: number, share: number): number {
  if (share <= 0) return hits === 0 ? 1 : 0;
  if (share >= 1) return 1;
  let logTerm = n * Math.log1p(-share);
  const logOdds = Math.log(share) - Math.log1p(-share);
  let below = 0;
  for (let k = 0; k < hits; k += 1) {
    below += Math.exp(logTerm);
    logTerm += Math.log(n - k) - Math.log(k + 1) + logOdds;
  }
  return Math.max(0, 1 - below);
}
