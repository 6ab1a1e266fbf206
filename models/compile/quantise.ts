/**
 * Rows of f32 weights -> blocks for MatMulNBits: unsigned integers around a fixed zero point (8 or 128) and one f32
 * scale a block. Blocks run along the input dimension.
 */
export type Bits = 4 | 8;

export interface QuantisedRows {
  /** bits 4: two elements a byte, the even one in the low half; bits 8: one a byte. Blocks are padded to full size. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** One a block, row after row. */
  readonly scales: Float32Array<ArrayBuffer>;
}

/**
 * Symmetric: 8 bits map the largest magnitude of a block to 127; 4 bits map its most extreme value to -8, as GGUF's Q4_0
 * does, since the negative side has one step more.
 */
export function quantiseRows(rows: Float32Array, width: number, bits: Bits, block: number): QuantisedRows {
  const blocks = Math.ceil(width / block);
  const count = rows.length / width;
  const bytesPerBlock = (block * bits) / 8;
  const data = new Uint8Array(count * blocks * bytesPerBlock).fill(bits === 4 ? 0x88 : 0x80);
  const scales = new Float32Array(count * blocks);
  const quantise = bits === 4 ? quantise4 : quantise8;
  for (let row = 0; row < count; row += 1) {
    for (let index = 0; index < blocks; index += 1) {
      const from = row * width + index * block;
      const to = Math.min(from + block, (row + 1) * width);
      const at = row * blocks + index;
      scales[at] = quantise(rows, from, to, data, at * bytesPerBlock);
    }
  }
  return { data, scales };
}

function quantise8(rows: Float32Array, from: number, to: number, out: Uint8Array, at: number): number {
  let largest = 0;
  for (let i = from; i < to; i += 1) largest = Math.max(largest, Math.abs(rows[i] as number));
  const scale = Math.fround(largest / 127);
  const inverse = scale === 0 ? 0 : 1 / scale;
  for (let i = from; i < to; i += 1) {
    const level = Math.round((rows[i] as number) * inverse);
    out[at + i - from] = Math.max(-128, Math.min(127, level)) + 128;
  }
  return scale;
}

function quantise4(rows: Float32Array, from: number, to: number, out: Uint8Array, at: number): number {
  let extreme = 0;
  for (let i = from; i < to; i += 1) {
    const value = rows[i] as number;
    if (Math.abs(value) > Math.abs(extreme)) extreme = value;
  }
  const scale = Math.fround(extreme / -8);
  const inverse = scale === 0 ? 0 : 1 / scale;
  for (let i = from; i < to; i += 1) {
    const level = Math.max(0, Math.min(15, Math.round((rows[i] as number) * inverse) + 8));
    const byte = at + ((i - from) >> 1);
    out[byte] =
      (i - from) % 2 === 0
        ? ((out[byte] as number) & 0xf0) | level
        : ((out[byte] as number) & 0x0f) | (level << 4);
  }
  return scale;
}

/** The inverse: f32 rows of `width` elements. Used by checks, never by the server. */
export function dequantiseRows(
  quantised: QuantisedRows,
  width: number,
  bits: Bits,
  block: number,
): Float32Array<ArrayBuffer> {
  const blocks = Math.ceil(width / block);
  const count = quantised.scales.length / blocks;
  const bytesPerBlock = (block * bits) / 8;
  const rows = new Float32Array(count * width);
  for (let row = 0; row < count; row += 1) {
    for (let i = 0; i < width; i += 1) {
      const at = row * blocks + Math.floor(i / block);
      const inBlock = i % block;
      const scale = quantised.scales[at] as number;
      if (bits === 8) {
        rows[row * width + i] = scale * ((quantised.data[at * bytesPerBlock + inBlock] as number) - 128);
      } else {
        const byte = quantised.data[at * bytesPerBlock + (inBlock >> 1)] as number;
        rows[row * width + i] = scale * ((inBlock % 2 === 0 ? byte & 15 : byte >> 4) - 8);
      }
    }
  }
  return rows;
}
