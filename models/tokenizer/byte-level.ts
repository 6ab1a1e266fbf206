/** The byte-level alphabet of GPT-2: every byte as one printable character, so that BPE merges work on text. */

/**
 * Printable Latin-1 characters stand for themselves; the other 68 bytes take the characters from U+0100 on, in order
 * (source: `bytes_to_unicode` in openai/gpt-2, encoder.py).
 */
function alphabet(): readonly string[] {
  const isPrintable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    if (isPrintable(byte)) return String.fromCharCode(byte);
    next += 1;
    return String.fromCharCode(next - 1);
  });
}

/** The character of each byte. */
export const BYTE_CHARACTERS: readonly string[] = alphabet();

const BYTE_OF: ReadonlyMap<string, number> = new Map(
  BYTE_CHARACTERS.map((character, byte) => [character, byte]),
);

/** undefined: the text holds a character outside the alphabet, so it is not a byte-level token. */
export function byteLevelBytes(token: string): Uint8Array | undefined {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = BYTE_OF.get(character);
    if (byte === undefined) return undefined;
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
