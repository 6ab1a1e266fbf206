/** Reads numbers that hold letters: the characters of a token, over single separators. */
import type { Span } from "./recogniser.ts";

export interface Token extends Span {
  /** Letters (upper case) and digits, without separators. */
  readonly value: string;
}

const ALNUM = /[A-Za-z0-9]/;
const IS_ALNUM = 1;
const IS_SEPARATOR = 2;
const KINDS = new Uint8Array(128);
for (let unit = 0; unit < 128; unit += 1) {
  if (ALNUM.test(String.fromCharCode(unit))) KINDS[unit] = IS_ALNUM;
  else if (/[ ._/-]/.test(String.fromCharCode(unit))) KINDS[unit] = IS_SEPARATOR;
}
const MIDDLE_DOT = 0xb7;

/** 0 outside the text too. */
function kindAt(text: string, index: number): number {
  const unit = text.charCodeAt(index);
  if (unit < 128) return KINDS[unit] as number;
  return unit === MIDDLE_DOT ? IS_SEPARATOR : 0;
}

export const isAlnumAt = (text: string, index: number): boolean => kindAt(text, index) === IS_ALNUM;

/** The place of the next letter or digit from `index` on, over one separator; -1 where there is none. */
export function nextAlnum(text: string, index: number): number {
  const kind = kindAt(text, index);
  if (kind === IS_ALNUM) return index;
  return kind === IS_SEPARATOR && kindAt(text, index + 1) === IS_ALNUM ? index + 1 : -1;
}

/** From `start` on, up to `max` letters and digits; a single separator may stand between any two. */
export function tokenAt(text: string, start: number, max: number): Token {
  let value = "";
  let length = 0;
  let end = start;
  for (let index = nextAlnum(text, start); index !== -1 && length < max; index = nextAlnum(text, end)) {
    const from = index;
    while (length < max && kindAt(text, index) === IS_ALNUM) {
      index += 1;
      length += 1;
    }
    value += text.slice(from, index);
    end = index;
  }
  return { start, end, value: value.toUpperCase() };
}

/** Whether no letter or digit touches the span. */
export const isFree = (text: string, { start, end }: Span): boolean =>
  !isAlnumAt(text, start - 1) && !isAlnumAt(text, end);

/** All matches of a global expression whose every match is free; it must have no nested repetition. */
export function* matches(text: string, pattern: RegExp): Generator<Span & { readonly value: string }> {
  for (const match of text.matchAll(pattern)) {
    const span = { start: match.index, end: match.index + match[0].length, value: match[0] };
    if (isFree(text, span)) yield span;
  }
}

/** Where as many letters stand directly ahead of `index`, over single separators; -1 where they do not. */
export function lettersAhead(text: string, index: number, count: number): number {
  let at = index;
  for (let letter = 0; letter < count; letter += 1) {
    at -= 1;
    if (kindAt(text, at) === IS_SEPARATOR) at -= 1;
    if (kindAt(text, at) !== IS_ALNUM || text.charCodeAt(at) < 0x41) return -1;
  }
  return at;
}

/** Matches of a global expression around any of the words; some may come twice. What is far from words is not read. */
export function* matchesNear(
  text: string,
  words: readonly Span[],
  reach: { readonly before: number; readonly after: number },
  pattern: RegExp,
): Generator<Span & { readonly value: string }> {
  let read = 0;
  for (const word of words) {
    const from = Math.max(read, word.start - reach.before - MATCH_MAX);
    const to = word.end + reach.after + MATCH_MAX;
    if (from >= to) continue;
    // One character more on each side shows whether a match is free.
    const lead = Math.max(0, from - 1);
    for (const match of text.slice(lead, to + 1).matchAll(pattern)) {
      const start = lead + match.index;
      yield { start, end: start + match[0].length, value: match[0] };
    }
    read = to - MATCH_MAX;
  }
}

/** No match is longer. */
const MATCH_MAX = 48;
