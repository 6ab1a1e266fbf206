/**
 * A row's softmax as a histogram over the distance to its best logit: 128 buckets a nat, so that the normaliser and every
 * prefix of the order "largest logit first" come from one pass, and only the one bucket that matters is ever sorted.
 *
 * A token at distance z / 128 nats (z = (max - logit) * scale, scale = 128 / temperature) is in bucket n = round(z) and
 * has the mass exp(-z / 128) = EXP[n] * p(z - n). p is the parabola through exp's value at 0 that is best over
 * |z - n| <= 1/2: with h = 1/256 its relative error is at most h^3 / 24 = 2.5e-9. All sums are float64.
 */

export const BUCKETS_PER_NAT = 128;
/**
 * Tokens further away than this count as impossible: 2^21 of them together have less than 1e-17 of the best one's mass,
 * which is below half a unit in the last place of any sum they could be part of.
 */
export const HORIZON = 54 * BUCKETS_PER_NAT;
/** Sort keys hold 32 bits of logit and 21 of id: what a float64 holds exactly. */
export const VOCAB_MAX = 2 ** 21;

const BUCKETS = HORIZON + 1;
const EXP = Float64Array.from({ length: BUCKETS }, (_, n) => Math.exp(-n / BUCKETS_PER_NAT));
/** Half a bucket in nats. The linear term leans by h^2 / 8, which quarters the cubic error that a Taylor parabola has. */
const H = 0.5 / BUCKETS_PER_NAT;
const C1 = (1 + H ** 2 / 8) / BUCKETS_PER_NAT;
const C2 = 0.5 / BUCKETS_PER_NAT ** 2;

/** Scratch of one thread, used by one call at a time: no call allocates in proportion to the vocabulary. */
const masses = new Float64Array(BUCKETS);
const counts = new Int32Array(BUCKETS);
let keys = new Float64Array(1024);
let collected = 0;
const floatBits = new Float32Array(1);
const intBits = new Uint32Array(floatBits.buffer);

/** One row as the buckets see it. `limit`: the largest z that still counts, at most HORIZON. */
export interface Spread {
  readonly row: Float32Array;
  /** The row's largest logit: finite. */
  readonly max: number;
  readonly scale: number;
  readonly limit: number;
}

/** A prefix of the tokens in order: all of the buckets before `bucket`, and the first `keep` tokens of it. */
export interface Cut {
  readonly bucket: number;
  readonly keep: number;
  /** Of all tokens before the cut. */
  readonly mass: number;
}

const bucketOf = (z: number): number => (z + 0.5) | 0;

function massAt(z: number): number {
  const n = bucketOf(z);
  const d = z - n;
  return (EXP[n] as number) * (1 - d * (C1 - d * C2));
}

/** Fills the thread's histogram, which the functions below read, and returns the total mass (the best token's is 1). */
export function fillMasses({ row, max, scale, limit }: Spread): number {
  masses.fill(0);
  for (let i = 0; i < row.length; i += 1) {
    const z = (max - (row[i] as number)) * scale;
    if (z <= limit) {
      const n = (z + 0.5) | 0;
      const d = z - n;
      masses[n] = (masses[n] as number) + (1 - d * (C1 - d * C2));
    }
  }
  let total = 0;
  const last = bucketOf(limit);
  for (let n = 0; n <= last; n += 1) {
    const mass = (masses[n] as number) * (EXP[n] as number);
    masses[n] = mass;
    total += mass;
  }
  return total;
}

/** After the `wanted` best tokens; undefined where no more than that are within the limit. */
export function cutAfter(spread: Spread, wanted: number): Cut | undefined {
  const { row, max, scale, limit } = spread;
  counts.fill(0);
  for (let i = 0; i < row.length; i += 1) {
    const z = (max - (row[i] as number)) * scale;
    if (z <= limit) {
      const n = (z + 0.5) | 0;
      counts[n] = (counts[n] as number) + 1;
    }
  }
  let before = 0;
  let mass = 0;
  const last = bucketOf(limit);
  for (let bucket = 0; bucket <= last; bucket += 1) {
    const count = counts[bucket] as number;
    if (before + count > wanted) return cutInside(spread, bucket, mass, (rank) => before + rank < wanted);
    before += count;
    mass += masses[bucket] as number;
  }
  return undefined;
}

/** Keeps each token that has less than `bound` before it: the smallest prefix that holds at least this mass. */
export function cutAtMass(spread: Spread, bound: number): Cut | undefined {
  let mass = 0;
  const last = bucketOf(spread.limit);
  for (let bucket = 0; bucket <= last; bucket += 1) {
    const next = mass + (masses[bucket] as number);
    if (next >= bound) return cutInside(spread, bucket, mass, (_rank, before) => before < bound);
    mass = next;
  }
  return undefined;
}

/** Keeps each token whose z is at most `farthest`. */
export function cutAtDistance(spread: Spread, farthest: number): Cut {
  const bucket = bucketOf(farthest);
  let mass = 0;
  for (let n = 0; n < bucket; n += 1) mass += masses[n] as number;
  return cutInside(spread, bucket, mass, (_rank, _before, z) => z <= farthest);
}

function cutInside(
  spread: Spread,
  bucket: number,
  massBefore: number,
  keeps: (rank: number, before: number, z: number) => boolean,
): Cut {
  let mass = massBefore;
  let keep = 0;
  for (const key of sortedBucket(spread, bucket)) {
    const z = (spread.max - (spread.row[idOf(key)] as number)) * spread.scale;
    if (!keeps(keep, mass, z)) break;
    mass += massAt(z);
    keep += 1;
  }
  return { bucket, keep, mass };
}

/** The token at which the running sum of masses first exceeds `target`, which is below the cut's mass. */
export function tokenAt(spread: Spread, target: number, cut: Cut | undefined): number {
  const last = cut === undefined ? bucketOf(spread.limit) : cut.bucket;
  let sum = 0;
  let at = 0;
  for (let bucket = 0; bucket <= last; bucket += 1) {
    const mass = masses[bucket] as number;
    if (mass === 0 || (bucket === last && cut?.keep === 0)) continue;
    at = bucket;
    if (sum + mass > target) break;
    sum += mass;
  }
  // Rounding may leave a crumb of the target beyond the last token: it belongs to that token.
  const sorted = sortedBucket(spread, at);
  const keep = cut !== undefined && at === cut.bucket ? cut.keep : sorted.length;
  for (let rank = 0; rank < keep - 1; rank += 1) {
    const id = idOf(sorted[rank] as number);
    sum += massAt((spread.max - (spread.row[id] as number)) * spread.scale);
    if (sum > target) return id;
  }
  return idOf(sorted[keep - 1] as number);
}

/** The tokens of one bucket within the limit, best first and ties by the smaller id, as keys for `idOf`. */
function sortedBucket(spread: Spread, bucket: number): Float64Array {
  const { row, max, scale } = spread;
  // Two plain comparisons find the candidates; the slack covers their rounding, and `collect` decides.
  const slack = 1e-9 * (Math.abs(max) + (bucket + 1) / scale);
  const low = max - (bucket + 0.5) / scale - slack;
  const high = max - (bucket - 0.5) / scale + slack;
  const { length } = row;
  const whole = length - (length % 4);
  collected = 0;
  let i = 0;
  for (; i < whole; i += 4) {
    const a = row[i] as number;
    const b = row[i + 1] as number;
    const c = row[i + 2] as number;
    const d = row[i + 3] as number;
    if (a >= low && a <= high) collect(spread, bucket, a, i);
    if (b >= low && b <= high) collect(spread, bucket, b, i + 1);
    if (c >= low && c <= high) collect(spread, bucket, c, i + 2);
    if (d >= low && d <= high) collect(spread, bucket, d, i + 3);
  }
  for (; i < length; i += 1) collect(spread, bucket, row[i] as number, i);
  return keys.subarray(0, collected).sort();
}

function collect({ max, scale, limit }: Spread, bucket: number, logit: number, id: number): void {
  const z = (max - logit) * scale;
  if (!(z <= limit) || bucketOf(z) !== bucket) return;
  if (collected === keys.length) keys = grown(keys);
  keys[collected] = keyOf(logit, id);
  collected += 1;
}

const idOf = (key: number): number => key % VOCAB_MAX;

/** Orders by logit, largest first, then by id. A float's bits, with those of positive ones turned over, sort like that. */
function keyOf(logit: number, id: number): number {
  floatBits[0] = logit === 0 ? 0 : logit; // -0 and 0 are ties
  const bits = intBits[0] as number;
  const descending = bits > 0x7fffffff ? bits : 0x7fffffff - bits;
  return descending * VOCAB_MAX + id;
}

function grown(array: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(array.length * 2);
  larger.set(array);
  return larger;
}
