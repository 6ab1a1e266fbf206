/** Reads numbers that hold letters: the characters of a token, over single separators. */
import type { Span } from "./recogniser.ts";

export interface Token extends Span {
  /** Letters (upper case) and digits, without separators. */
  readonly value: string;
}

const ALNUM = /[A-Za-z0-9]/;
const SEPARATOR = /[ .·_/-]/;

/** From `start` on, up to `max` letters and digits; a single separator may stand between any two. */
export function tokenAt(text: string, start: number, max: number): Token {
  let value = "";
  let end = start;
  for (let index = start; index < text.length && value.length < max; index += 1) {
    const character = text[index] as string;
    if (ALNUM.test(character)) {
      value += character;
      end = index + 1;
    } else if (!SEPARATOR.test(character) || index !== end) break;
  }
  return { start, end, value: value.toUpperCase() };
}

/** Whether no letter or digit touches the span. */
export const isFree = (text: string, { start, end }: Span): boolean =>
  !ALNUM.test(text[start - 1] ?? "") && !ALNUM.test(text[end] ?? "");

/** All matches of a global expression whose every match is free; it must have no nested repetition. */
export function* matches(text: string, pattern: RegExp): Generator<Span & { readonly value: string }> {
  for (const match of text.matchAll(pattern)) {
    const span = { start: match.index, end: match.index + match[0].length, value: match[0] };
    if (isFree(text, span)) yield span;
  }
}
