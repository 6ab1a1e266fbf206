/**
 * Chance is an argument too: a draw is a pure function of (seed, position), so that a request gets the same tokens alone,
 * in a batch, after a retry or on replay. Source: the murmur3 32-bit finaliser over both words, applied twice.
 */
function mix(word: number): number {
  let h = word | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Uniform in [0, 1) with 53 bits; seed and position are taken modulo 2^32 (a seed's upper 21 bits are mixed in too). */
export function uniform(seed: number, position: number): number {
  const low = seed >>> 0;
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  const a = mix(mix(low + 0x9e3779b9) ^ mix(high + 0x7f4a7c15) ^ Math.imul(position + 1, 0x9e3779b1));
  const b = mix(a ^ mix(position ^ 0x85ebca6b) ^ low);
  return ((a >>> 5) * 2 ** 26 + (b >>> 6)) / 2 ** 53;
}
