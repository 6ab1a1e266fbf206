/** Shannon's entropy of a text's characters, in bits each: about 4 for words, 6 for base64 of sealed bytes, 0 for a row of x. */
export function entropy(text: string): number {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= (count / text.length) * Math.log2(count / text.length);
  return bits;
}
