/**
 * What stands for a value while it is away: `[INBOX-BL]`. Two consonants tell them apart, for digits would make numbers of
 * them and vowels words; whoever reads the request must see nothing in them. Models rewrite such things a little; what is
 * plainly meant is read.
 */

/** By the beginning of a rule's id. No name is a word that recognisers look for, or that says much to the topic model. */
const FAMILIES: readonly (readonly [rules: string, name: string])[] = [
  ["contact.email", "INBOX"],
  ["contact.ip", "HOST"],
  ["contact.", "DIGITS"],
  ["id.", "CODE"],
  ["secret.", "KEY"],
  ["hr.", "FACT"],
  ["chat.", "ITEM"],
];
const OTHER_FAMILY = "VALUE";

/** Without those of Mr, Ms, Dr, HR and St. */
const LETTERS = "BCDFGJKLNPQTVWXZ";
/** Pairs that mean something. */
const WORDS: ReadonlySet<string> = new Set("BF CV DJ GF LT PC PT TV VP".split(" "));
/** Neighbours differ in both letters, so that one slip makes no other one of it. */
const LABELS: readonly string[] = Array.from({ length: LETTERS.length ** 2 }, (_, index) => {
  const round = Math.floor(index / LETTERS.length);
  const first = LETTERS[index % LETTERS.length] as string;
  return first + (LETTERS[(index + round + 7) % LETTERS.length] as string);
}).filter((label) => !WORDS.has(label));

/** Of a request at most: 247. More values are a table, which a model would mix up. */
export const PLACEHOLDERS_MAX = LABELS.length;

/** The placeholder for the value with this number, counted from 0 over all families, that the rule has found. */
export function placeholderOf(rule: string, index: number): string {
  const family = FAMILIES.find(([rules]) => rule.startsWith(rules))?.[1] ?? OTHER_FAMILY;
  return `[${family}-${LABELS[index]}]`;
}

/** All that can be given out, for finding those that stand in a text already. */
export const everyPlaceholder = (): readonly string[] =>
  [...FAMILIES.map(([rules]) => rules), ""].flatMap((rule) =>
    Array.from({ length: PLACEHOLDERS_MAX }, (_, index) => placeholderOf(rule, index)),
  );

export type Reading =
  | { readonly kind: "whole"; readonly placeholder: string; readonly end: number }
  /** The text ends before it is decided. */
  | { readonly kind: "begun" }
  | { readonly kind: "none" };

const NONE: Reading = { kind: "none" };
const BEGUN: Reading = { kind: "begun" };
/** Where a placeholder may begin: brackets of three kinds, and what escapes them in Markdown and JSON. */
const OPENING = /[[\\［【]/g;
const OPENERS = "[［【";
const CLOSERS = "]］】";
/** Hyphens and dashes of all kinds, and what replaces them in names. */
const SEPARATORS = "-_\u2010\u2011\u2012\u2013\u2014\u2212";
const BLANKS = " \u00a0";
const BLANKS_MAX = 2;
const ESCAPES_MAX = 2;

/**
 * Reads placeholders of one set: in any case; with up to two blanks inside the brackets and around the hyphen, or instead
 * of it; with another dash; in brackets of full width; with both brackets escaped alike, once or twice. All of these are
 * written between one opening bracket and the next closing one, so no two readings overlap and none is ambiguous.
 */
export class PlaceholderReader {
  /** Every beginning of every placeholder, itself included. */
  readonly #beginnings = new Set<string>();

  constructor(placeholders: Iterable<string>) {
    for (const placeholder of placeholders) {
      for (let length = 1; length <= placeholder.length; length += 1) {
        this.#beginnings.add(placeholder.slice(0, length));
      }
    }
  }

  /** The next place from `from` on where one may begin; -1 where there is none. */
  opening(text: string, from: number): number {
    OPENING.lastIndex = from;
    return OPENING.exec(text)?.index ?? -1;
  }

  /** What begins at `at`. It looks at some thirty characters at the most. */
  read(text: string, at: number): Reading {
    let index = at;
    while (text[index] === "\\" && index - at < ESCAPES_MAX) index += 1;
    const escapes = index - at;
    if (index === text.length) return BEGUN;
    if (!OPENERS.includes(text[index] as string) || !this.#beginnings.has("[")) return NONE;
    let read = "[";
    let blanks = 0;
    let closing = 0;
    for (index += 1; index < text.length; index += 1) {
      const character = text[index] as string;
      if (CLOSERS.includes(character)) {
        const whole = closing === escapes && this.#beginnings.has(`${read}]`);
        return whole ? { kind: "whole", placeholder: `${read}]`, end: index + 1 } : NONE;
      }
      if (closing > 0 && character !== "\\") return NONE;
      if (character === "\\") {
        closing += 1;
        if (closing > escapes || !this.#beginnings.has(`${read}]`)) return NONE;
      } else if (BLANKS.includes(character)) {
        blanks += 1;
        if (blanks > BLANKS_MAX || !this.#mayPause(read)) return NONE;
      } else {
        const next = this.#extended(read, character, blanks > 0);
        if (next === undefined) return NONE;
        read = next;
        blanks = 0;
      }
    }
    return BEGUN;
  }

  /** Blanks stand inside the brackets and around the hyphen only. */
  #mayPause(read: string): boolean {
    return /[[-]$/.test(read) || this.#beginnings.has(`${read}-`) || this.#beginnings.has(`${read}]`);
  }

  #extended(read: string, character: string, afterBlank: boolean): string | undefined {
    if (SEPARATORS.includes(character)) return this.#known(`${read}-`);
    if (!/[A-Za-z]/.test(character)) return undefined;
    const between = afterBlank && !/[[-]$/.test(read) ? "-" : "";
    return this.#known(read + between + character.toUpperCase());
  }

  #known(read: string): string | undefined {
    return this.#beginnings.has(read) ? read : undefined;
  }
}
