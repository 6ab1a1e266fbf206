/**
 * Self-made templates to texts. A file holds families: `[name]` and, under it, one template a line. In a template
 * `{a|b}` chooses, `{slot}` is a line of a file of slots, `\n` is a line's end, and braces that are neither stay.
 * A line `question => answer` is a pair of turns.
 *
 * Families are split, never lines: what is measured on held-out families was said in other words.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { uniform } from "../../engine/core/random.ts";

const DATA = join(import.meta.dirname, "data");

export interface Family {
  readonly name: string;
  readonly lines: readonly string[];
  /** Not trained on while measuring. */
  readonly heldOut: boolean;
}

/** One family in this many is held out. */
const HELD_OUT_EVERY = 5;

/** Lines of a data file without comments and blanks. */
export const dataLines = (path: string): readonly string[] =>
  readFileSync(join(DATA, path), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));

export function readFamilies(path: string): readonly Family[] {
  const families: { name: string; lines: string[]; heldOut: boolean }[] = [];
  for (const line of dataLines(path)) {
    const name = /^\[([^\]|]+)\]$/.exec(line)?.[1];
    if (name !== undefined)
      families.push({ name, lines: [], heldOut: families.length % HELD_OUT_EVERY === HELD_OUT_EVERY - 1 });
    else families[families.length - 1]?.lines.push(line);
  }
  return families;
}

export type Fillers = ReadonlyMap<string, readonly string[]>;

/** Files of slots, one value a line; in the names, many a line with commas between. */
const SLOTS =
  "fillers slots-messages slots-published slots-own-life slots-orders slots-hr slots-hr-short slots-zh slots-short".split(
    " ",
  );

export const readFillers = (): Fillers =>
  new Map([
    ...SLOTS.flatMap((file) => readFamilies(`templates/${file}.txt`)).map(
      ({ name, lines }) => [name, lines] as const,
    ),
    ...readFamilies("templates/names.txt").map(
      ({ name, lines }) => [name, lines.flatMap((line) => line.split(", "))] as const,
    ),
  ]);

/** A stream of draws: the same seed gives the same ones. */
export class Draws {
  readonly #seed: number;
  #position = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Whole number from 0 to `below` - 1. */
  next(below: number): number {
    this.#position += 1;
    return Math.floor(uniform(this.#seed, this.#position) * below);
  }

  pick<T>(from: readonly T[]): T {
    const index = this.next(from.length);
    if (index >= from.length) throw new Error("Nothing to choose from: a template has an empty choice.");
    return from[index] as T;
  }
}

/** One text of a template. */
export function expand(template: string, fillers: Fillers, draws: Draws): string {
  return fill(template, fillers, draws).replaceAll("\\n", "\n");
}

function fill(template: string, fillers: Fillers, draws: Draws): string {
  let out = "";
  for (let at = 0; at < template.length; at += 1) {
    const end = template[at] === "{" ? closing(template, at) : -1;
    if (end === -1) {
      out += template[at];
      continue;
    }
    const inside = template.slice(at + 1, end);
    const choices = alternatives(inside);
    const filler = fillers.get(inside);
    if (filler !== undefined) out += fill(draws.pick(filler), fillers, draws);
    else if (choices.length > 1) out += fill(draws.pick(choices), fillers, draws);
    else out += `{${fill(inside, fillers, draws)}}`;
    at = end;
  }
  return out;
}

function closing(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === "{") depth += 1;
    else if (text[at] === "}") depth -= 1;
    if (depth === 0) return at;
  }
  return -1;
}

/** Split at the bars that stand in no inner braces. */
function alternatives(inside: string): readonly string[] {
  const parts = [""];
  let depth = 0;
  for (const char of inside) {
    if (char === "{") depth += 1;
    else if (char === "}") depth -= 1;
    if (char === "|" && depth === 0) parts.push("");
    else parts[parts.length - 1] += char;
  }
  return parts;
}

export const PAIR = " => ";

/** A dialogue of some pairs of one family: its turns in order, the asking side first. */
export function dialogue(family: Family, fillers: Fillers, draws: Draws): readonly string[] {
  const pairs = shuffled(family.lines, draws).slice(0, 1 + draws.next(family.lines.length));
  return pairs.flatMap((pair) => pair.split(PAIR).map((turn) => expand(turn, fillers, draws)));
}

function shuffled<T>(items: readonly T[], draws: Draws): readonly T[] {
  const out = [...items];
  for (let left = out.length; left > 1; left -= 1) {
    const chosen = draws.next(left);
    [out[left - 1], out[chosen]] = [out[chosen] as T, out[left - 1] as T];
  }
  return out;
}

type LogForm = (speaker: string, time: string, text: string, day: number) => string;

/** How chat programs and people write a log down. */
const LOG_FORMS: readonly LogForm[] = [
  (speaker, time, text) => `[${time}] <${speaker}> ${text}`,
  (speaker, time, text) => `[${time}] ${speaker}: ${text}`,
  (speaker, time, text) => `${speaker} ${time}: ${text}`,
  (speaker, time, text) => `${speaker}  ${time}\n${text}`,
  (speaker, time, text, day) => `${day}/11/2023, ${time} - ${speaker}: ${text}`,
  (speaker, time, text, day) => `2024-03-${10 + day} ${time}\t${speaker}\t${text}`,
  (speaker, _time, text) => `${speaker}: ${text}`,
  (speaker, _time, text) => `@${speaker} ${text}`,
  (speaker, time, text) => `<${speaker}> ${text} (${time})`,
  (speaker, time, text, day) => `${speaker} 2024/3/${day} ${time}:09\n${text}\n`,
];

/** Consecutive messages as a log. `speakers` are names. */
export function chatLog(messages: readonly string[], speakers: readonly string[], draws: Draws): string {
  const form = draws.pick(LOG_FORMS);
  const day = 1 + draws.next(19);
  let minute = draws.next(600) + 480;
  return messages
    .map((message) => {
      minute += draws.next(4);
      const hours = String(Math.floor(minute / 60) % 24).padStart(2, "0");
      return form(draws.pick(speakers), `${hours}:${String(minute % 60).padStart(2, "0")}`, message, day);
    })
    .join("\n");
}
