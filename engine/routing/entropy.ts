/** Shannon's entropy of a text's characters, in bits each: about 4 for words, 6 for base64 of sealed bytes, 0 for a row of x. */
export function entropy(text: string): number {
  let bits = 0;
  for (const count of countsOf(text)) bits -= (count / text.length) * Math.log2(count / text.length);
  return bits;
}

/** How often each character comes, in the order of their first coming. */
function countsOf(text: string): Iterable<number> {
  const counts = new Int32Array(ASCII);
  const order: number[] = [];
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit >= ASCII) return countsOfAny(text);
    if (counts[unit] === 0) order.push(unit);
    counts[unit] = (counts[unit] as number) + 1;
  }
  return order.map((unit) => counts[unit] as number);
}

const ASCII = 128;

function countsOfAny(text: string): Iterable<number> {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  return counts.values();
}
