/** Which values stand in the texts of a request, by the recognisers, and what of a found place is the value. */
import { RECOGNISERS, scanOf } from "../recognisers/index.ts";
import type { Span } from "../recognisers/recogniser.ts";

export interface LabelledText {
  readonly text: string;
  /** The names that lead to it in structured data; "" outside of any. */
  readonly label: string;
}

/** A value's place in its text. */
export interface Place extends Span {
  /** Of the recogniser that found it; where several did, of the one that found the most. */
  readonly rule: string;
}

/** Small texts are read together, as they are when a request is classified. Each batch is not empty. */
export function batchesOf(texts: readonly LabelledText[]): readonly (readonly LabelledText[])[] {
  const batches: LabelledText[][] = [];
  let batch: LabelledText[] = [];
  let characters = 0;
  for (const each of texts) {
    if (batch.length === 0 || characters + sizeOf(each) > BATCH_CHARACTERS) {
      batch = [];
      batches.push(batch);
      characters = 0;
    }
    batch.push(each);
    characters += sizeOf(each);
  }
  return batches;
}

const BATCH_CHARACTERS = 4096;
const sizeOf = ({ text, label }: LabelledText): number => text.length + label.length;
/** No number goes on over an empty line. */
const APART = "\n\n";

export interface Found {
  /** For each text its places, in order and apart from each other. */
  readonly places: readonly (readonly Place[])[];
  /** All that any recogniser found, also as a part of a place; with the rule that found it first. */
  readonly values: ReadonlyMap<string, string>;
}

export function findValues(batch: readonly LabelledText[]): Found {
  const written = batch.map(({ label, text }) => (label === "" ? text : `${label}: ${text}`));
  const together = written.join(APART);
  const spans = spansOf(together);
  const values = new Map<string, string>();
  for (const span of spans) {
    for (const { start, end, rule } of valuesOf(together, span)) {
      const value = together.slice(start, end);
      if (!values.has(value)) values.set(value, rule);
    }
  }
  const found = united(spans);
  let start = 0;
  let next = 0;
  const places = batch.map(({ text }, index) => {
    const end = start + (written[index] as string).length;
    const from = end - text.length;
    const within: Place[] = [];
    // A span may reach over several texts: the last one of this text is looked at again for the next.
    while (next < found.length && (found[next] as Place).end <= from) next += 1;
    for (let at = next; at < found.length && (found[at] as Place).start < end; at += 1) {
      const span = found[at] as Place;
      const clipped = { start: Math.max(span.start, from) - from, end: Math.min(span.end, end) - from };
      within.push(...valuesOf(text, { ...clipped, rule: span.rule }));
    }
    start = end + APART.length;
    return within;
  });
  return { places, values };
}

function spansOf(text: string): Place[] {
  const scan = scanOf(text);
  return RECOGNISERS.flatMap(({ rule, find }) =>
    Array.from(find(scan), ({ start, end }) => ({ start, end, rule })),
  );
}

/** What overlaps is one: nothing of either may be left over. */
function united(spans: Place[]): readonly Place[] {
  spans.sort((a, b) => a.start - b.start || b.end - a.end);
  const found: Place[] = [];
  let widest = 0;
  for (const span of spans) {
    const last = found.at(-1);
    const length = span.end - span.start;
    if (last === undefined || span.start >= last.end) {
      found.push(span);
      widest = length;
      continue;
    }
    const rule = length > widest ? span.rule : last.rule;
    widest = Math.max(widest, length);
    found[found.length - 1] = { start: last.start, end: Math.max(last.end, span.end), rule };
  }
  return found;
}

/**
 * The parts of a place that are values. They end where JSON would escape a character: so the same text can be put back into
 * prose, into JSON, and into JSON inside a string. Marks that only lead to a value stay.
 */
function* valuesOf(text: string, { start, end, rule }: Place): Generator<Place> {
  for (const match of text.slice(start, end).matchAll(VALUE)) {
    const part = match[0].replace(LEADING, "");
    const value = part.trimEnd();
    if (!/[\p{L}\p{N}]/u.test(value)) continue;
    const at = start + match.index + match[0].length - part.length;
    yield { start: at, end: at + value.length, rule };
  }
}

const LEADING = /^[\s:=：'`]+/;
/** Runs of what JSON writes as it is. With the flag u a half of a surrogate pair is a character of its own. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what JSON escapes
const VALUE = /[^"\\\0-\x1f\ud800-\udfff]+/gu;
