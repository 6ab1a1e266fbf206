/** What class of data a request holds: the highest of all votes. Whatever goes wrong on the way is a vote for restricted. */
import { DATA_CLASSES, type DataClass, maxClass } from "../core/data-class.ts";
import type { Evidence } from "../core/evidence.ts";
import { VIEW_BOUNDS, type ViewBounds, viewsOf } from "./canonical.ts";
import { recognised } from "./recognisers/index.ts";
import type { Topic, TopicModel } from "./topic.ts";
import { type TextPart, WALK_BOUNDS, type WalkBounds, walkRequest } from "./walk.ts";

export interface ClassifyPorts {
  readonly topics: TopicModel;
  /** Votes of those who know more than the body says: a header, a key's policy, a connector. */
  readonly declared?: readonly Evidence[];
  readonly bounds?: WalkBounds;
  /** Narrower ones bound the time: where they are too narrow to tell, `doubt.views` is among the evidence. */
  readonly views?: ViewBounds;
  /**
   * What all readings together may cost, in characters, where each text costs some more; without an end by default. Where
   * it is too little, nothing is told but `doubt.effort`. A thousand take up to 1 ms, and 0.2 ms as a rule.
   */
  readonly effortMax?: number;
}

export interface Classification {
  readonly class: DataClass;
  /** Each rule once a place, the highest class first; it holds no text of the request. */
  readonly evidence: readonly Evidence[];
  /** 0..1: how sure it is that the class is not lower or, for public, not higher. */
  readonly confidence: number;
}

/** The class of a chat or completion body. It never throws. */
export function classify(body: unknown, ports: ClassifyPorts): Classification {
  const votes = new Votes();
  try {
    for (const vote of ports.declared ?? []) votes.add(vote.rule, vote.class, vote.where);
    labelled(body, votes);
    const { parts, doubts } = walkRequest(body, ports.bounds ?? WALK_BOUNDS);
    for (const doubt of doubts) votes.add(doubt.rule, "restricted", doubt.where);
    // What is too large to be walked is not worth the time of a scan: its class is known.
    if (!doubts.some(({ rule }) => rule === "doubt.size")) {
      const effort = new Effort(ports.effortMax ?? Number.POSITIVE_INFINITY);
      scanParts(parts, votes, { views: ports.views ?? VIEW_BOUNDS, effort });
    }
    askTopics(parts, ports.topics, votes);
  } catch (error) {
    if (error instanceof EffortSpent) return UNFINISHED;
    votes.add("doubt.failure", "restricted", "");
  }
  return votes.result();
}

/** What one more text costs, however short, in characters. */
const TEXT_COST = 24;

class EffortSpent extends Error {
  override readonly name = "EffortSpent";
}

const UNFINISHED: Classification = {
  class: "restricted",
  evidence: [{ rule: "doubt.effort", class: "restricted", where: "" }],
  confidence: 1,
};

class Effort {
  #left: number;

  constructor(characters: number) {
    this.#left = characters;
  }

  spend(characters: number): void {
    this.expect(characters);
    this.#left -= characters;
  }

  /** Throws EffortSpent where so much is more than is left. */
  expect(characters: number): void {
    if (characters > this.#left) throw new EffortSpent("no effort is left");
  }
}

interface Reading {
  readonly views: ViewBounds;
  readonly effort: Effort;
}

/** Evidence beyond this many entries says nothing new. */
const EVIDENCE_MAX = 64;
/** From this score on a topic decides. */
const TOPIC_SCORE_MIN = 0.5;
const TOPIC_CLASS: Readonly<Record<Exclude<Topic, "public">, DataClass>> = {
  hr: "restricted",
  "chat-log": "restricted",
  private: "personal",
};
/** Small texts are read together, so that what they say to each other is seen and the fixed cost is paid once. */
const BATCH_CHARACTERS = 4096;
/** As much of the text before is read again with the text behind a border. */
const CARRIED = 256;

class Votes {
  readonly #votes = new Map<string, Evidence>();
  readonly #rules = new Set<string>();
  #class: DataClass = "public";
  #doubt = 0;

  add(rule: string, value: DataClass, where: string): void {
    const known = DATA_CLASSES.includes(value) ? value : "restricted";
    this.#class = maxClass(this.#class, known);
    this.#rules.add(rule);
    const key = `${rule} ${where}`;
    const earlier = this.#votes.get(key)?.class ?? known;
    this.#votes.set(key, { rule, class: maxClass(earlier, known), where });
  }

  has(rule: string): boolean {
    return this.#rules.has(rule);
  }

  /** How near something came to a vote: 0 not at all, 1 nearly. */
  wavers(score: number): void {
    this.#doubt = Math.max(this.#doubt, score);
  }

  result(): Classification {
    const evidence = [...this.#votes.values()]
      .sort((a, b) => rank(b.class) - rank(a.class))
      .slice(0, EVIDENCE_MAX);
    const highest = evidence.filter((vote) => vote.class === this.#class);
    const onlyTopics = highest.length > 0 && highest.every(({ rule }) => rule.startsWith("topic."));
    const confidence = this.#class === "public" ? 1 - this.#doubt : onlyTopics ? this.#doubt : 1;
    return { class: this.#class, evidence, confidence };
  }
}

const rank = (value: DataClass): number => DATA_CLASSES.indexOf(value);

/** A label of the caller's own. It can only raise the class; one that nobody knows raises it to the top. */
function labelled(body: unknown, votes: Votes): void {
  const metadata = (body as { readonly metadata?: unknown } | null | undefined)?.metadata;
  const label = (metadata as { readonly data_class?: unknown } | null | undefined)?.data_class;
  if (label === undefined || label === null || label === "public") return;
  votes.add("declared.metadata", label as DataClass, "/metadata/data_class");
}

function scanParts(parts: readonly TextPart[], votes: Votes, reading: Reading): void {
  const borders = bordersOf(parts);
  // What is sure to be too much is not begun: somebody else will do it all.
  reading.effort.expect(
    parts.reduce((sum, { label = "", text }) => sum + label.length + text.length, 0) +
      borders.reduce((sum, { text }) => sum + text.length, TEXT_COST * (borders.length / BORDERS_TOGETHER)),
  );
  for (const batch of batches(parts)) {
    const found = scan(batch.map(written).join(APART), reading);
    if (found.size === 0) continue;
    if (batch.length === 1) {
      record(found, (batch[0] as TextPart).where, votes);
      continue;
    }
    for (const part of batch) {
      const alone = scan(written(part), reading);
      record(alone, part.where, votes);
      for (const rule of alone.keys()) found.delete(rule);
    }
    // What only several texts together say stands at what contains them.
    record(found, commonPointer(batch.map(({ where }) => where)), votes);
  }
  scanBorders(borders, votes, reading);
}

function record(found: ReadonlyMap<string, DataClass>, where: string, votes: Votes): void {
  for (const [rule, value] of found) votes.add(rule, value, where);
}

/** A text as it is read: with the names that lead to it. */
const written = ({ label, text }: TextPart): string =>
  // The lines of a log all begin alike; a name before the first of them would hide that.
  label === undefined ? text : text.includes("\n") ? `${label}:\n${text}` : `${label}: ${text}`;

/** Rules that find something in any view of the text, with their classes. */
function scan(text: string, { views, effort }: Reading): Map<string, DataClass> {
  effort.spend(TEXT_COST + text.length);
  const { texts, findings } = viewsOf(text, views);
  // The first of them is the text itself.
  effort.spend(texts.reduce((sum, view) => sum + view.length, -text.length));
  const found = new Map<string, DataClass>();
  for (const finding of findings) found.set(finding, finding === "blob.opaque" ? "internal" : "restricted");
  for (const view of texts) for (const { rule, class: value } of recognised(view)) found.set(rule, value);
  return found;
}

function* batches(parts: readonly TextPart[]): Generator<readonly TextPart[]> {
  let batch: TextPart[] = [];
  let characters = 0;
  for (const part of parts) {
    if (batch.length > 0 && characters + part.text.length > BATCH_CHARACTERS) {
      yield batch;
      batch = [];
      characters = 0;
    }
    batch.push(part);
    characters += part.text.length;
  }
  if (batch.length > 0) yield batch;
}

interface Border {
  readonly text: string;
  readonly where: string;
}

/** What is split over texts: the end of the one before, and of the one before of the same role, with the next one's start. */
function bordersOf(parts: readonly TextPart[]): readonly Border[] {
  const tails = new Map<string, string>();
  const borders: Border[] = [];
  for (const part of parts) {
    if (part.text === "") continue;
    const carried = new Set([tails.get(""), tails.get(`${part.kind} ${part.role}`)]);
    for (const tail of carried) {
      if (tail !== undefined) borders.push({ text: tail + part.text.slice(0, CARRIED), where: part.where });
    }
    for (const key of ["", `${part.kind} ${part.role}`]) {
      tails.set(key, ((tails.get(key) ?? "") + part.text.slice(-CARRIED)).slice(-CARRIED));
    }
  }
  return borders;
}

function scanBorders(borders: readonly Border[], votes: Votes, reading: Reading): void {
  for (let first = 0; first < borders.length; first += BORDERS_TOGETHER) {
    const group = borders.slice(first, first + BORDERS_TOGETHER);
    const together = scan(group.map(({ text }) => text).join(APART), reading);
    if (![...together.keys()].some((rule) => !votes.has(rule))) continue;
    for (const { text, where } of group) {
      const found = scan(text, reading);
      for (const rule of found.keys()) if (votes.has(rule)) found.delete(rule);
      record(found, where, votes);
    }
  }
}

const BORDERS_TOGETHER = 8;
/** Between texts that are read together: no number goes on over an empty line. */
const APART = "\n\n";

/** The deepest pointer that all of them begin with. */
function commonPointer(pointers: readonly string[]): string {
  const [names = [], ...others] = pointers.map((pointer) => pointer.split("/"));
  let length = names.length;
  for (const other of others) {
    let same = 0;
    while (same < length && other[same] === names[same]) same += 1;
    length = same;
  }
  return names.slice(0, length).join("/");
}

/** A seed or a temperature has no topic; whether a number means somebody is what the recognisers say. */
const isLanguage = ({ text, where }: TextPart): boolean => where !== "/model" && LETTER.test(text);

const LETTER = /\p{L}/u;

/** No vote at all is no proof, and a score that is no number is none either. */
function askTopics(all: readonly TextPart[], topics: TopicModel, votes: Votes): void {
  const parts = all.filter(isLanguage);
  if (parts.length === 0) return;
  const answers = topics.votes(parts);
  if (answers.length === 0) votes.add("doubt.topic-missing", "restricted", "");
  for (const { topic, score, where } of answers) {
    if (!(score >= 0 && score <= 1)) votes.add("doubt.topic-score", "restricted", where);
    else if (topic !== "public") {
      votes.wavers(score);
      const value = TOPIC_CLASS[topic] ?? "restricted";
      if (score >= TOPIC_SCORE_MIN) votes.add(`topic.${topic}`, value, where);
    }
  }
}
