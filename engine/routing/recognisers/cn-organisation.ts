/** Unified social credit codes of Chinese organisations: GB 32100, with its check character. */
import type { Recogniser } from "./recogniser.ts";
import { isAlnumAt, lettersAhead } from "./tokens.ts";

/** First characters of the offices that register, of either case. */
const OFFICES = new Uint8Array(128);
for (const office of "123456789ANYanyGg") OFFICES[office.charCodeAt(0)] = 1;
const ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY";
const WEIGHTS = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28, 1];

export const cnOrganisation: Recogniser = {
  rule: "id.cn-organisation",
  class: "internal",
  *find({ text, numbers }) {
    for (const digits of numbers.starts) {
      // The first two characters may be letters: the registering office, and the kind of organisation.
      for (const letters of [0, 1, 2]) {
        const start = letters === 0 ? digits : lettersAhead(text, digits, letters);
        if (start === -1) break;
        if (isAlnumAt(text, start - 1) || OFFICES[text.charCodeAt(start)] !== 1) continue;
        const end = codeEnd(text, start);
        if (end !== -1 && !isAlnumAt(text, end)) yield { start, end };
      }
    }
  },
  examples: {
    hits: ["91350100M000100Y43", "统一社会信用代码：91350100M000100Y43", "9135 0100 M000 100Y 43"],
    misses: ["91350100M000100Y44", "91350100M000100I43", "91350100M000100Y4"],
  },
};

const LENGTH = 18;
/** Of an ASCII character: its place in the alphabet, or that it may stand between two of a code, or that it may not. */
const SEPARATOR = 64;
const ELSE = 255;
const VALUES = new Uint8Array(128).fill(ELSE);
for (const [index, character] of [...ALPHABET].entries()) {
  VALUES[character.charCodeAt(0)] = VALUES[character.toLowerCase().charCodeAt(0)] = index;
}
for (const mark of " ._/-") VALUES[mark.charCodeAt(0)] = SEPARATOR;
const MIDDLE_DOT = 0xb7;

function valueAt(text: string, index: number): number {
  const unit = text.charCodeAt(index);
  if (unit < 128) return VALUES[unit] as number;
  return unit === MIDDLE_DOT ? SEPARATOR : ELSE;
}

/** Where a code that begins at `start` ends, a separator allowed between any two; -1 where there is none. */
function codeEnd(text: string, start: number): number {
  let sum = 0;
  let at = start;
  for (let place = 0; place < LENGTH; place += 1) {
    let value = valueAt(text, at);
    if (value === SEPARATOR) {
      at += 1;
      value = valueAt(text, at);
    }
    if (value >= SEPARATOR) return -1;
    // With the check character, whose weight is 1, the sum is a multiple of 31.
    sum += value * (WEIGHTS[place] as number);
    at += 1;
  }
  return sum % 31 === 0 ? at : -1;
}
