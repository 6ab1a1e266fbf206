/**
 * Takes what recognisers find out of a request and puts placeholders in its place, and puts the values back into the answer.
 * The table of both lives as long as the request, in memory only.
 *
 * What recognisers find only in a decoded or folded reading of a text stays where it is: whoever sends the request judges what
 * goes out once more, and keeps it in the house then.
 */
import type { GenerationRequest } from "../core/request.ts";
import {
  everyPlaceholder,
  PLACEHOLDERS_MAX,
  PlaceholderReader,
  placeholderOf,
} from "./pseudonyms/placeholders.ts";
import { mapTexts } from "./pseudonyms/request-texts.ts";
import { type Restorer, restorer } from "./pseudonyms/restore.ts";
import { type TextVisitor, Unreplaceable } from "./pseudonyms/text-visitor.ts";
import { ValueFinder } from "./pseudonyms/value-finder.ts";
import { batchesOf, findValues, type LabelledText, type Place } from "./pseudonyms/values.ts";

export interface Pseudonymised {
  /** To be sent: no value stands in it any more. The very same request where there was none. */
  readonly request: GenerationRequest;
  /** Puts the values back into the answer to it. */
  readonly restore: Restorer;
}

/**
 * The same value has the same placeholder wherever it stands in the request, and no other has it. Undefined where that cannot be:
 * a prompt of tokens, arguments that are no JSON, a value in a name or a number, more than 247 values or 20,000 texts,
 * a stop string that would cut a placeholder, a recogniser that fails. Such a request stays in the house. It never throws.
 */
export function pseudonymise(request: GenerationRequest): Pseudonymised | undefined {
  try {
    return replaced(request);
  } catch {
    return undefined; // whatever was thrown may quote the request
  }
}

const TEXTS_MAX = 20_000;
const ALL = new PlaceholderReader(everyPlaceholder());

function replaced(request: GenerationRequest): Pseudonymised {
  const texts = readTexts(request);
  const batches = batchesOf(texts);
  const found = batches.map(findValues);
  const rules = new Map(found.flatMap(({ values }) => [...values]));
  if (rules.size === 0) return { request, restore: restorer(new Map()) };

  const finder = new ValueFinder(rules.keys());
  const table = new PlaceholderTable(texts, rules);
  const places = found.flatMap((each) => each.places);
  const written = texts.map((each, index) =>
    rewritten(each, places[index] as readonly Place[], finder, table),
  );
  let next = 0;
  const take = (): string => written[next++] as string;
  const outgoing = mapTexts(request, { text: take, fixed: () => void take() });
  checkRead(batches, readTexts(outgoing));
  for (const stop of outgoing.stop) for (const each of table.values.keys()) checkStop(stop, each);
  return { request: outgoing, restore: restorer(table.values) };
}

interface RequestText extends LabelledText {
  readonly fixed: boolean;
}

function readTexts(request: GenerationRequest): readonly RequestText[] {
  const texts: RequestText[] = [];
  const note = (text: string, label: string, fixed: boolean): string => {
    if (texts.length >= TEXTS_MAX) throw new Unreplaceable("The request has too many texts.");
    texts.push({ text, label, fixed });
    return text;
  };
  const visitor: TextVisitor = {
    text: (text, label) => note(text, label, false),
    fixed: (text, label) => void note(text, label, true),
  };
  mapTexts(request, visitor);
  return texts;
}

/** Gives out placeholders in the order in which values are met, and none that stands in the request already. */
class PlaceholderTable {
  /** Values by placeholder. */
  readonly values = new Map<string, string>();
  readonly #placeholders = new Map<string, string>();
  readonly #rules: ReadonlyMap<string, string>;
  readonly #taken: ReadonlySet<string>;
  #next = 0;

  /** `rules`: by value, which rule found it. */
  constructor(texts: readonly LabelledText[], rules: ReadonlyMap<string, string>) {
    this.#rules = rules;
    this.#taken = new Set(texts.flatMap(({ text }) => standing(text)));
  }

  of(value: string, rule = this.#rules.get(value) ?? ""): string {
    const known = this.#placeholders.get(value);
    if (known !== undefined) return known;
    while (this.#taken.has(placeholderOf(rule, this.#next))) this.#next += 1;
    if (this.#next >= PLACEHOLDERS_MAX) throw new Unreplaceable("The request has too many values.");
    const placeholder = placeholderOf(rule, this.#next);
    this.#next += 1;
    this.#placeholders.set(value, placeholder);
    this.values.set(placeholder, value);
    return placeholder;
  }
}

/** Placeholders that a text holds by chance, or because somebody writes of them. */
function standing(text: string): readonly string[] {
  const found: string[] = [];
  for (let at = ALL.opening(text, 0); at !== -1; at = ALL.opening(text, at + 1)) {
    const reading = ALL.read(text, at);
    if (reading.kind === "whole") found.push(reading.placeholder);
  }
  return found;
}

/** First what was found in this text, then what was found elsewhere and stands here again. */
function rewritten(
  { text, fixed }: RequestText,
  places: readonly Place[],
  finder: ValueFinder,
  table: PlaceholderTable,
): string {
  let out = "";
  let copied = 0;
  const put = (start: number, end: number, rule?: string): void => {
    out += text.slice(copied, start) + table.of(text.slice(start, end), rule);
    copied = end;
  };
  const between = (start: number, end: number): void => {
    for (const again of finder.find(text.slice(start, end))) put(start + again.start, start + again.end);
  };
  let start = 0;
  for (const place of places) {
    between(start, place.start);
    put(place.start, place.end, place.rule);
    start = place.end;
  }
  between(start, text.length);
  if (copied > 0 && fixed) throw new Unreplaceable("A value stands in a name or a number.");
  return copied === 0 ? text : out + text.slice(copied);
}

/** What was changed is read once more: without a value, what stands around it may read as another. */
function checkRead(before: readonly (readonly LabelledText[])[], after: readonly LabelledText[]): void {
  let first = 0;
  for (const batch of before) {
    const now = after.slice(first, first + batch.length);
    const changed = batch.some(
      ({ text, label }, index) => now[index]?.text !== text || now[index]?.label !== label,
    );
    if (changed && findValues(now).values.size > 0) {
      throw new Unreplaceable("Replacing values makes others of what is left.");
    }
    first += batch.length;
  }
}

/** The backend would end the answer in the middle of a placeholder where the value itself has no such end. */
function checkStop(stop: string, placeholder: string): void {
  const cuts = (at: number): boolean => {
    const from = Math.max(0, at);
    const to = Math.min(placeholder.length, at + stop.length);
    const inStop = from - at;
    return placeholder.slice(from, to) === stop.slice(inStop, inStop + to - from);
  };
  for (let at = 1 - stop.length; at < placeholder.length; at += 1) {
    const holdsWhole = at <= 0 && at + stop.length >= placeholder.length;
    if (!holdsWhole && cuts(at)) throw new Unreplaceable("A stop string would cut a placeholder.");
  }
}
