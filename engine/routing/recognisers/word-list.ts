/**
 * Finds the words of all recognisers in one pass: an Aho-Corasick automaton over classes of characters, in which case
 * does not count and blank, hyphen and underscore are one. A step a character, whatever the text.
 */
import type { Span } from "./recogniser.ts";

export interface WordHits {
  /** Places of a group's words, in order of their ends. Unknown groups are empty. */
  of(group: string): readonly Span[];
  /** Whether a word of the group ends at most `before` characters ahead of the span or starts `after` behind it. */
  near(group: string, span: Span, before: number, after: number): boolean;
}

const OTHER = 0;
const BLANK = 1;
const LONGEST = 64;
const NONE: readonly Span[] = [];

interface Word {
  readonly group: number;
  readonly length: number;
  /** Han needs no blanks around it; letters do. */
  readonly bounded: boolean;
}

export class WordList {
  readonly #groups: ReadonlyMap<string, number>;
  readonly #classes: Uint16Array;
  readonly #width: number;
  readonly #next: Uint16Array;
  readonly #ends: readonly (readonly Word[] | undefined)[];

  constructor(words: ReadonlyMap<string, readonly string[]>) {
    this.#groups = new Map([...words.keys()].map((group, index) => [group, index]));
    const spelled = [...words.values()].flatMap((list, group) =>
      [...new Set(list.flatMap(variants))].map((word) => ({ word, group })),
    );
    const { classes, width } = classesOf(spelled.map(({ word }) => word));
    this.#classes = classes;
    this.#width = width;
    const states: Int32Array[] = [new Int32Array(width)];
    const ends: Word[][] = [[]];
    for (const { word, group } of spelled) {
      let state = 0;
      for (let index = 0; index < word.length; index += 1) {
        const unit = classes[word.charCodeAt(index)] as number;
        const row = states[state] as Int32Array;
        if (row[unit] === 0) {
          row[unit] = states.length;
          states.push(new Int32Array(width));
          ends.push([]);
        }
        state = row[unit] as number;
      }
      ends[state]?.push({ group, length: word.length, bounded: /[a-z]/.test(word) });
    }
    this.#next = linked(states, ends, width);
    this.#ends = ends.map((list) => (list.length === 0 ? undefined : list));
  }

  find(text: string): WordHits {
    const found: Span[][] = [];
    // Fields of their own: each look at a private one costs as much as the step itself.
    const classes = this.#classes;
    const width = this.#width;
    const next = this.#next;
    const allEnds = this.#ends;
    const starts = new Int32Array(LONGEST);
    let taken = 0;
    let state = 0;
    let previous = OTHER;
    for (let index = 0; index < text.length; index += 1) {
      const unit = classes[text.charCodeAt(index)] as number;
      if (unit === BLANK && previous === BLANK) continue;
      previous = unit;
      starts[taken & (LONGEST - 1)] = index;
      taken += 1;
      state = next[state * width + unit] as number;
      const ends = allEnds[state];
      if (ends === undefined) continue;
      for (const { group, length, bounded } of ends) {
        const start = starts[(taken - length) & (LONGEST - 1)] as number;
        if (bounded && !standsAlone(text, start, index + 1)) continue;
        const list = found[group] ?? [];
        found[group] = list;
        list.push({ start, end: index + 1 });
      }
    }
    return new Hits(this.#groups, found);
  }
}

class Hits implements WordHits {
  readonly #groups: ReadonlyMap<string, number>;
  readonly #found: readonly (readonly Span[] | undefined)[];

  constructor(groups: ReadonlyMap<string, number>, found: readonly (readonly Span[] | undefined)[]) {
    this.#groups = groups;
    this.#found = found;
  }

  of(group: string): readonly Span[] {
    return this.#found[this.#groups.get(group) ?? -1] ?? NONE;
  }

  near(group: string, span: Span, before: number, after: number): boolean {
    const list = this.of(group);
    // The first word that ends late enough; ends are in order, starts nearly so.
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((list[middle] as Span).end < span.start - before) low = middle + 1;
      else high = middle;
    }
    const word = list[low];
    return word !== undefined && word.start <= span.end + after;
  }
}

/** Words and phrases with commas between them. */
export const phrases = (list: string): readonly string[] => list.trim().replace(/\s+/g, " ").split(/ ?, ?/);

/** As it is, and with its words run together as in `dateOfBirth`. */
function variants(word: string): readonly string[] {
  const plain = word.toLowerCase();
  return /^[a-z -]+$/.test(plain) && plain.includes(" ") ? [plain, plain.replaceAll(" ", "")] : [plain];
}

function classesOf(words: readonly string[]): { classes: Uint16Array; width: number } {
  const classes = new Uint16Array(0x10000);
  for (const blank of " \t\n\r-_'") classes[blank.charCodeAt(0)] = BLANK;
  let width = BLANK + 1;
  for (const character of words.join("")) {
    const unit = character.charCodeAt(0);
    if (classes[unit] !== OTHER) continue;
    classes[unit] = classes[character.toUpperCase().charCodeAt(0)] = width;
    width += 1;
  }
  return { classes, width };
}

/** The finished table: where no way leads on, that of the longest end that is a beginning. */
function linked(states: readonly Int32Array[], ends: Word[][], width: number): Uint16Array {
  const next = new Uint16Array(states.length * width);
  const fail = new Int32Array(states.length);
  const queue: number[] = [0];
  for (let at = 0; at < queue.length; at += 1) {
    const state = queue[at] as number;
    const back = fail[state] as number;
    for (let unit = 0; unit < width; unit += 1) {
      const child = states[state]?.[unit] as number;
      const fallback = state === 0 ? 0 : (next[back * width + unit] as number);
      next[state * width + unit] = child === 0 ? fallback : child;
      if (child === 0) continue;
      fail[child] = fallback;
      ends[child]?.push(...(ends[fallback] ?? []));
      queue.push(child);
    }
  }
  return next;
}

const isLower = (unit: number): boolean => unit >= 0x61 && unit <= 0x7a;
const isUpper = (unit: number): boolean => unit >= 0x41 && unit <= 0x5a;

/** Whether a word of letters begins and ends here: at other characters, or as in `dateOfBirth`; an `s` may follow. */
function standsAlone(text: string, start: number, end: number): boolean {
  const before = text.charCodeAt(start - 1);
  const first = text.charCodeAt(start);
  if (isUpper(before) && !(isUpper(first) && isLower(text.charCodeAt(start + 1)))) return false;
  if (isLower(before) && !isUpper(first)) return false;
  const after = text.charCodeAt(end);
  const last = text.charCodeAt(end - 1);
  if (isUpper(after)) {
    return isLower(last) || (after === 0x53 && !isUpper(text.charCodeAt(end + 1)));
  }
  if (!isLower(after)) return true;
  return after === 0x73 && !isLower(text.charCodeAt(end + 1));
}
