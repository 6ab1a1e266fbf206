/** Unified social credit codes of Chinese organisations: GB 32100, with its check character. */
import type { Recogniser } from "./recogniser.ts";
import { isFree, lettersAhead, tokenAt } from "./tokens.ts";

/** First characters of the offices that register. */
const OFFICES = /[1-9ANYanyGg]/;
const ALNUM = /[A-Za-z0-9]/;
const ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY";
const WEIGHTS = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];

export const cnOrganisation: Recogniser = {
  rule: "id.cn-organisation",
  class: "internal",
  *find({ text, numbers }) {
    for (const digits of numbers.starts) {
      // The first two characters may be letters: the registering office, and the kind of organisation.
      for (const letters of [0, 1, 2]) {
        const start = letters === 0 ? digits : lettersAhead(text, digits, letters);
        if (start === -1) break;
        if (!OFFICES.test(text[start] as string) || ALNUM.test(text[start - 1] ?? "")) continue;
        const token = tokenAt(text, start, 18);
        if (token.value.length !== 18 || !isFree(text, token) || !isCode(token.value)) continue;
        yield token;
      }
    }
  },
  examples: {
    hits: ["91350100M000100Y43", "统一社会信用代码：91350100M000100Y43", "9135 0100 M000 100Y 43"],
    misses: ["91350100M000100Y44", "91350100M000100I43", "91350100M000100Y4"],
  },
};

function isCode(code: string): boolean {
  let sum = 0;
  for (const [index, weight] of WEIGHTS.entries()) {
    const value = ALPHABET.indexOf(code[index] as string);
    if (value === -1) return false;
    sum += weight * value;
  }
  return ALPHABET[(31 - (sum % 31)) % 31] === code[17];
}
