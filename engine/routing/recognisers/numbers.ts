/** Every way in which the digits of a text may belong together: as they stand, and over separators. */
import type { Span } from "./recogniser.ts";

export interface DigitRun extends Span {
  readonly digits: string;
  /** Lengths of the groups that separators make of it: `138 0013 8000` is 3, 4, 4. */
  readonly sizes: readonly number[];
  /** What stands between the groups: "" for one group, undefined where it differs. */
  readonly separator: string | undefined;
}

/** Runs by their number of digits. */
export interface Numbers {
  ofLength(length: number): readonly DigitRun[];
  readonly any: boolean;
  /** Where each group of digits begins, whatever its length. */
  readonly starts: readonly number[];
}

/** Shorter runs are no identifier by themselves. */
const DIGITS_MIN = 7;
/** Longer runs are no identifier; they are kept whole up to here, so that none is cut out of their middle. */
const DIGITS_MAX = 24;
const SEPARATOR_MAX = 3;
/** May stand between groups of one number. */
const SEPARATORS = new Uint8Array(256);
for (const mark of " \t\n\r-.·_/\\()|:,~*+#") SEPARATORS[mark.charCodeAt(0)] = 1;
/** Groupings in which people write numbers; a run of them is looked for inside longer ones. */
const GROUPINGS: readonly (readonly number[])[] = [
  [3, 4, 4],
  [2, 3, 4, 4],
  [4, 4, 4, 4],
  [4, 4, 4, 4, 3],
  [4, 6, 5],
  [4, 4, 4],
  [3, 2, 4],
  [3, 3, 4],
  [1, 3, 3, 4],
  [3, 3, 3],
  [6, 8, 4],
  [6, 4, 4, 4],
];
/** By the size of their first group. */
const BY_FIRST = [0, 1, 2, 3, 4, 5, 6].map((size) => GROUPINGS.filter(([first]) => first === size));
const NONE: readonly DigitRun[] = [];

export function findNumbers(text: string): Numbers {
  const found: DigitRun[][] = [];
  const add = (run: DigitRun): void => {
    const list = found[run.digits.length] ?? [];
    found[run.digits.length] = list;
    list.push(run);
  };
  const starts: number[] = [];
  for (let index = 0; index < text.length; ) {
    if (!isDigit(text.charCodeAt(index))) {
      index += 1;
      continue;
    }
    const groups = clusterAt(text, index);
    for (const { start } of groups) starts.push(start);
    runsOf(text, groups, add);
    index = (groups.at(-1) as Span).end;
  }
  return { any: starts.length > 0, starts, ofLength: (length) => found[length] ?? NONE };
}

const isDigit = (unit: number): boolean => unit >= 0x30 && unit <= 0x39;
const isLetter = (unit: number): boolean => (unit | 0x20) >= 0x61 && (unit | 0x20) <= 0x7a;

/** Groups of digits from here on, as far as only separators stand between them, and no empty line. */
function clusterAt(text: string, from: number): readonly Span[] {
  const groups: Span[] = [];
  for (let start = from; ; ) {
    let end = start + 1;
    while (isDigit(text.charCodeAt(end))) end += 1;
    groups.push({ start, end });
    let next = end;
    while (next - end < SEPARATOR_MAX && SEPARATORS[text.charCodeAt(next)] === 1) next += 1;
    if (next === end || !isDigit(text.charCodeAt(next)) || hasEmptyLine(text, end, next)) return groups;
    start = next;
  }
}

function hasEmptyLine(text: string, from: number, to: number): boolean {
  for (let index = from; index + 1 < to; index += 1) {
    if (text.charCodeAt(index) === NEWLINE && text.charCodeAt(index + 1) === NEWLINE) return true;
  }
  return false;
}

const NEWLINE = 10;

function runsOf(text: string, groups: readonly Span[], add: (run: DigitRun) => void): void {
  // How many digits stand ahead of each group, and of the end.
  const ahead = [0];
  for (const [index, group] of groups.entries()) {
    const size = sizeOf(group);
    ahead.push((ahead[index] as number) + size);
    if (size >= DIGITS_MIN && size <= DIGITS_MAX && !isEmbedded(text, groups, index))
      add(joined(text, [group]));
  }
  const count = groups.length;
  if (count === 1 || (ahead[count] as number) < DIGITS_MIN) return;
  const seen = new Set<number>();
  const offer = (first: number, last: number): void => {
    if (last <= first || last - first >= DIGITS_MAX) return;
    const digits = (ahead[last + 1] as number) - (ahead[first] as number);
    if (digits < DIGITS_MIN || digits > DIGITS_MAX) return;
    const key = first * count + last;
    if (seen.has(key)) return;
    seen.add(key);
    add(joined(text, groups.slice(first, last + 1)));
  };
  offer(0, count - 1);
  offer(0, count - 2);
  offer(1, count - 1);
  for (let first = 0; first < count; first += 1) {
    for (const sizes of BY_FIRST[sizeOf(groups[first] as Span)] ?? []) {
      if (stands(sizes, ahead, first)) offer(first, first + sizes.length - 1);
    }
  }
  for (let first = 0; first + 1 < count; ) {
    let last = first + 1;
    while (last + 1 < count && isSameBetween(text, groups, first, last)) last += 1;
    offer(first, last);
    first = last;
  }
}

const sizeOf = ({ start, end }: Span): number => end - start;

/** Whether groups of these sizes begin with the group `first`. */
function stands(sizes: readonly number[], ahead: readonly number[], first: number): boolean {
  if (first + sizes.length >= ahead.length) return false;
  for (let index = 0; index < sizes.length; index += 1) {
    const group = first + index;
    if ((ahead[group + 1] as number) - (ahead[group] as number) !== sizes[index]) return false;
  }
  return true;
}

const between = (text: string, groups: readonly Span[], index: number): string =>
  text.slice((groups[index] as Span).end, (groups[index + 1] as Span).start);

/** Whether the same stands behind the one group as behind the other. */
function isSameBetween(text: string, groups: readonly Span[], one: number, other: number): boolean {
  const from = (groups[one] as Span).end;
  const size = (groups[one + 1] as Span).start - from;
  const otherFrom = (groups[other] as Span).end;
  if ((groups[other + 1] as Span).start - otherFrom !== size) return false;
  for (let index = 0; index < size; index += 1) {
    if (text.charCodeAt(from + index) !== text.charCodeAt(otherFrom + index)) return false;
  }
  return true;
}

/** The middle of a token such as a hash, or the places behind a decimal point. */
function isEmbedded(text: string, groups: readonly Span[], index: number): boolean {
  const { start, end } = groups[index] as Span;
  const before = text.charCodeAt(start - 1);
  const after = text.charCodeAt(end);
  if (isLetter(before) && isLetter(after)) return true;
  if (before !== 0x2e || index === 0) return false;
  const whole = groups[index - 1] as Span;
  return whole.end === start - 1 && whole.end - whole.start <= 2 && text.charCodeAt(whole.start - 1) !== 0x2e;
}

function joined(text: string, groups: readonly Span[]): DigitRun {
  const first = groups[0] as Span;
  const last = groups.at(-1) as Span;
  let separator: string | undefined = groups.length === 1 ? "" : between(text, groups, 0);
  for (let index = 1; index + 1 < groups.length && separator !== undefined; index += 1) {
    if (!isSameBetween(text, groups, 0, index)) separator = undefined;
  }
  let digits = "";
  for (const { start, end } of groups) digits += text.slice(start, end);
  return { start: first.start, end: last.end, digits, sizes: groups.map(sizeOf), separator };
}

/** Whether somebody would write one number so: in groups that are alike but for the last, or in small ones with one mark. */
export function isOneNumber({ sizes, separator }: DigitRun): boolean {
  if (separator === "") return true;
  if (separator === undefined || separator.length > 2) return false;
  const size = sizes[0] as number;
  const alike = sizes.every((each, index) => (index === sizes.length - 1 ? each <= size : each === size));
  if (alike) return size === 1 ? !/[,:+]/.test(separator) : size <= 4 && !/[,:/+*]/.test(separator);
  return sizes.length > 2 && sizes.every((each) => each <= 4) && /^[-.·_]+$/.test(separator);
}

/** Whether only marks stand between the groups that numbers are written with, and none of arithmetic or lists. */
export const isWrittenAsNumber = (text: string, { start, end }: Span): boolean =>
  /^[\d ().\-·_/]*$/.test(text.slice(start, end));

export const hasGrouping = (run: DigitRun, ...groupings: readonly string[]): boolean =>
  groupings.includes(run.sizes.join("-"));
