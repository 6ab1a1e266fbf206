/** Half precision (IEEE 754 binary16) and bfloat16 to single precision and back; exact, NaN payloads included. */

/** The 65,536 halves as bits of floats: one look-up a value. */
let halfBits: Uint32Array | undefined;

function halfTable(): Uint32Array {
  if (halfBits !== undefined) return halfBits;
  const table = new Uint32Array(65_536);
  for (let half = 0; half < 65_536; half += 1) table[half] = widenHalf(half);
  halfBits = table;
  return table;
}

function widenHalf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  // A subnormal half is a normal float: move the leading one to the hidden place.
  const shift = Math.clz32(fraction) - 21;
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}

/** Little-endian 16-bit values of `bytes`, without a copy where they are aligned. */
function words(bytes: Uint8Array): Uint16Array {
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >> 1);
}

/** `bytes`: little-endian halves. */
export function f16ToF32(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const halves = words(bytes);
  const table = halfTable();
  const bits = new Uint32Array(halves.length);
  for (let index = 0; index < halves.length; index += 1)
    bits[index] = table[halves[index] as number] as number;
  return new Float32Array(bits.buffer);
}

/** `bytes`: little-endian bfloat16, the upper half of a float. */
export function bf16ToF32(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const upper = words(bytes);
  const bits = new Uint32Array(upper.length);
  for (let index = 0; index < upper.length; index += 1) bits[index] = (upper[index] as number) << 16;
  return new Float32Array(bits.buffer);
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** One half, given by its 16 bits. */
export function halfToNumber(half: number): number {
  scratchBits[0] = halfTable()[half & 0xffff] as number;
  return scratch[0] as number;
}

/** The 16 bits of the nearest half, ties to even; too large becomes infinity. */
export function numberToHalf(value: number): number {
  scratch[0] = value;
  const bits = scratchBits[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65,520 and above round to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  // Below 2^-14 halves are multiples of 2^-24; Math.round would round ties up, so ties are decided by parity.
  if (magnitude < 0x38800000) return sign | roundHalfToEven(Math.abs(scratch[0] as number) * 2 ** 24);
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
