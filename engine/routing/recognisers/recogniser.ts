/** What a recogniser is, and what it is given to read. */
import type { DataClass } from "../../core/data-class.ts";
import type { Numbers } from "./numbers.ts";
import type { WordHits } from "./word-list.ts";

export interface Span {
  /** First character, and the one behind the last. */
  readonly start: number;
  readonly end: number;
}

/** One view of a text, with what several recognisers need found once. */
export interface Scan {
  readonly text: string;
  /** Runs of digits, also over separators. */
  readonly numbers: Numbers;
  /** Words of each group that stand in the text, whole and in any case. */
  readonly words: WordHits;
}

export interface Recogniser {
  /** As in evidence: family and kind, such as `id.iban`. */
  readonly rule: string;
  readonly class: DataClass;
  /** Words that make a number mean something, or that mean something by themselves, by group. */
  readonly words?: Readonly<Record<string, readonly string[]>>;
  /** Each place where the view holds such a thing. Takes time in proportion to the text, whatever stands in it. */
  find(scan: Scan): Iterable<Span>;
  /** What it must find, and what it must leave alone: its tests. All values are invented or from specimens. */
  readonly examples: { readonly hits: readonly string[]; readonly misses: readonly string[] };
}
