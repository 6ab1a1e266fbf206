/**
 * One draw from a row: temperature, top_k, top_p, min_p, then the token at which the running sum of probabilities passes
 * `chance`. Tokens stand in one order, largest logit first and ties by the smaller id, so every filter keeps a prefix of
 * it and the kept prefix is the shortest of theirs.
 */
import type { Sampling } from "../../core/request.ts";
import {
  BUCKETS_PER_NAT,
  type Cut,
  cutAfter,
  cutAtDistance,
  cutAtMass,
  fillMasses,
  HORIZON,
  type Spread,
  tokenAt,
} from "./buckets.ts";
import { TOP_LIST_MAX, TopList } from "./scan.ts";

/** Below this a temperature is greedy: BUCKETS_PER_NAT / temperature must stay far from overflow. */
export const TEMPERATURE_MIN = 1e-5;

export type Filters = Pick<Sampling, "temperature" | "topK" | "topP" | "minP">;

const top = new TopList();
const topMasses = new Float64Array(TOP_LIST_MAX);

/** `best` is the row's largest logit's index; `chance` is in [0, 1); temperature is at least TEMPERATURE_MIN. */
export function draw(row: Float32Array, best: number, filters: Filters, chance: number): number {
  return filters.topK > 0 && filters.topK <= TOP_LIST_MAX
    ? drawFromList(row, filters, chance)
    : drawFromBuckets(row, best, filters, chance);
}

/** The largest z that min_p keeps: a token at distance z / 128 nats has exp(-z / 128) of the best one's probability. */
const farthestOf = (minP: number): number =>
  minP > 0 ? Math.min(HORIZON, -Math.log(minP) * BUCKETS_PER_NAT) : HORIZON;

function drawFromList(row: Float32Array, { temperature, topK, topP, minP }: Filters, chance: number): number {
  top.fill(row, topK);
  const scale = BUCKETS_PER_NAT / temperature;
  const max = top.values[0] as number;
  let total = 0;
  for (let rank = 0; rank < top.size; rank += 1) {
    const mass = Math.exp((((top.values[rank] as number) - max) * scale) / BUCKETS_PER_NAT);
    topMasses[rank] = mass;
    total += mass;
  }
  const farthest = farthestOf(minP);
  const bound = topP < 1 ? topP * total : Infinity;
  let kept = 0;
  let sum = 0;
  while (kept < top.size && sum < bound && (max - (top.values[kept] as number)) * scale <= farthest) {
    sum += topMasses[kept] as number;
    kept += 1;
  }
  const target = chance * sum;
  sum = 0;
  for (let rank = 0; rank < kept - 1; rank += 1) {
    sum += topMasses[rank] as number;
    if (sum > target) return top.ids[rank] as number;
  }
  return top.ids[Math.max(0, kept - 1)] as number;
}

function drawFromBuckets(row: Float32Array, best: number, filters: Filters, chance: number): number {
  const { temperature, topK, topP, minP } = filters;
  const farthest = farthestOf(minP);
  // With min_p alone nothing needs the mass of what it drops.
  const limit = topK === 0 && topP >= 1 ? farthest : HORIZON;
  const spread: Spread = { row, max: row[best] as number, scale: BUCKETS_PER_NAT / temperature, limit };
  const total = fillMasses(spread);
  let cut = topK > 0 ? cutAfter(spread, topK) : undefined;
  if (topP < 1) cut = shorter(cut, cutAtMass(spread, topP * (cut?.mass ?? total)));
  if (farthest < limit) cut = shorter(cut, cutAtDistance(spread, farthest));
  return tokenAt(spread, chance * (cut?.mass ?? total), cut);
}

function shorter(a: Cut | undefined, b: Cut | undefined): Cut | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  if (a.bucket !== b.bucket) return a.bucket < b.bucket ? a : b;
  return a.keep <= b.keep ? a : b;
}
