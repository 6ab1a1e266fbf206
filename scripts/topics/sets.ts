/**
 * The data sets behind the topic model, as rows with a topic. The self-made ones stand beside this file; the others are
 * read from a folder outside the repository (`--data DIR`, else WEIR_DATA, else ../shared/data), and what is absent is
 * said. Their texts are never written anywhere.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { Topic } from "../../engine/routing/topic.ts";
import {
  chatLog,
  Draws,
  dataLines,
  dialogue,
  expand,
  type Family,
  PAIR,
  readFamilies,
  readFillers,
} from "./templates.ts";

export interface Row {
  /** A text, or the turns of a conversation. */
  readonly texts: readonly string[];
  readonly topic: Topic;
  /** What figures are given for, such as `clinc150 hr`. */
  readonly slice: string;
  /** In training; 0 = only measured. */
  readonly weight: number;
  /** False for rows that are only trained on: parts and prefixes of others. */
  readonly measured: boolean;
}

/** Ends the name of a set that no shipped model is trained on. */
export const HELD_OUT = " held out";

export interface DataSet {
  readonly name: string;
  readonly rows: readonly Row[];
}

/** Where the data lies. */
export function dataFolder(option: string | undefined, environment: string | undefined): string {
  return option ?? environment ?? join(import.meta.dirname, "..", "..", "..", "shared", "data");
}

export interface Loaded {
  readonly sets: readonly DataSet[];
  /** Names of the sets whose files are not there. */
  readonly absent: readonly string[];
}

export function loadSets(folder: string): Loaded {
  const sets: DataSet[] = [...selfMade()];
  const absent: string[] = [];
  for (const [name, { files, rows }] of Object.entries(OUTSIDE)) {
    const paths = files.map((file) => join(folder, file));
    if (paths.every((path) => existsSync(path))) sets.push({ name, rows: rows(...paths.map(readRows)) });
    else absent.push(name);
  }
  return { sets, absent };
}

type Json = Readonly<Record<string, unknown>>;

function readRows(path: string): readonly Json[] {
  const raw = readFileSync(path);
  const text = (path.endsWith(".gz") ? gunzipSync(raw) : raw).toString("utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Json);
}

const row = (
  texts: readonly string[],
  topic: Topic,
  slice: string,
  weight: number,
  measured = true,
): Row => ({ texts, topic, slice, weight, measured });

const string = (from: Json, key: string): string => String(from[key]);

// ---- self-made

/** Texts made of each template. */
const VARIANTS = 8;
/** Of families whose lines are put together of whole sentences. */
const VARIANTS_OF_PARTS = 40;
/** Of sums: they hold names, pay and families as private texts do, and it takes many to show that the question decides. */
const VARIANTS_OF_SUMS = 200;
function variants({ name }: Family): number {
  if (!name.includes("-parts")) return VARIANTS;
  return /^(sums|maths)-/.test(name) ? VARIANTS_OF_SUMS : VARIANTS_OF_PARTS;
}
/** One text in this many is written in small letters, as many people write. */
const SMALL_EVERY = 4;
/** A letter that is missed is worse than a public text that stays in the house. */
const PRIVATE_WEIGHT = 2.6;
/** Of English greetings: letters begin with them too, and each letter counts more than once. */
const SHORT_WEIGHT = 3;
/** Dialogues and logs made of each family of turns. */
const CONVERSATIONS = 40;

const TEMPLATE_FILES: readonly (readonly [string, Topic, string])[] = [
  ["hr-en", "hr", "first"],
  ["hr-spoken-en", "hr", "first"],
  ["hr-zh", "hr", "zhname"],
  ["hr-short-zh", "hr", "zhname"],
  ["private-en", "private", "first"],
  ["private-people-en", "private", "first"],
  ["private-zh", "private", "zhname"],
  ["private-short", "private", "first"],
  ["chat", "chat-log", "first"],
  ["public-en", "public", "first"],
  ["public-world-en", "public", "first"],
  ["public-zh", "public", "zhname"],
  ["public-world-zh", "public", "zhname"],
  ["public-short-en", "public", "first"],
  ["public-short-zh", "public", "zhname"],
];

/** Templates in two sets by family, so that one can be held out; and sentences written apart. */
function selfMade(): readonly DataSet[] {
  const fillers = readFillers();
  const trained: Row[] = [];
  const heldOut: Row[] = [];
  for (const [file, topic, speakers] of TEMPLATE_FILES) {
    for (const [index, family] of readFamilies(`templates/${file}.txt`).entries()) {
      const draws = new Draws(hash(`${file} ${index}`));
      const add = (texts: readonly string[]): void => {
        const written = draws.next(SMALL_EVERY) === 0 ? texts.map((text) => text.toLowerCase()) : texts;
        const weight = file === "public-short-en" ? SHORT_WEIGHT : topic === "private" ? PRIVATE_WEIGHT : 1;
        (family.heldOut ? heldOut : trained).push(row(written, topic, `templates ${file}`, weight));
      };
      if (topic === "chat-log") {
        for (let made = 0; made < CONVERSATIONS; made += 1)
          add([expand(log(family, fillers.get(speakers) ?? [], draws), fillers, draws)]);
      } else if (family.lines[0]?.includes(PAIR)) {
        for (let made = 0; made < CONVERSATIONS; made += 1) add(dialogue(family, fillers, draws));
      } else {
        for (const line of family.lines)
          for (const text of new Set(
            Array.from({ length: variants(family) }, () => expand(line, fillers, draws)),
          ))
            add([text]);
      }
    }
  }
  return [
    { name: "templates", rows: trained },
    { name: "templates, every fifth family", rows: heldOut },
    ...sentences("hr-zh", "hr"),
    ...sentences("public-zh", "public"),
    ...sentences("short-public", "public"),
    ...sentences("short-private", "private"),
  ];
}

function log(family: Family, speakers: readonly string[], draws: Draws): string {
  const count = Math.min(family.lines.length, 3 + draws.next(6));
  const from = draws.next(family.lines.length - count + 1);
  const present = Array.from({ length: 2 + draws.next(3) }, () => draws.pick(speakers));
  return chatLog(family.lines.slice(from, from + count), present, draws);
}

/** Every second sentence is held out of the shipped model. */
function sentences(name: string, topic: Topic): readonly DataSet[] {
  const rows = dataLines(`set-${name}.txt`).map((text) => row([text], topic, name, 1));
  return [
    { name, rows: rows.filter((_, index) => index % 2 === 0) },
    { name: name + HELD_OUT, rows: rows.filter((_, index) => index % 2 === 1) },
  ];
}

function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const char of text) value = Math.imul(value ^ (char.codePointAt(0) as number), 0x01000193);
  return value >>> 0;
}

// ---- from outside

const HR_INTENTS = new Set(
  "pto_request pto_request_status pto_balance pto_used payday income taxes w2 direct_deposit rollover_401k insurance insurance_change".split(
    " ",
  ),
);
/** Whether a customer's question to a bank is private is a matter of policy: measured, never trained on. */
const BANK_DOMAINS = new Set(["banking", "credit_cards"]);

function clinc(...parts: readonly (readonly Json[])[]): readonly Row[] {
  return parts.flat().map((entry) => {
    const text = [string(entry, "text")];
    if (HR_INTENTS.has(string(entry, "intent"))) return row(text, "hr", "clinc150 hr intents", 0.4);
    if (entry["domain"] === "work") return row(text, "hr", "clinc150 meetings, holidays (policy)", 0);
    if (BANK_DOMAINS.has(string(entry, "domain"))) return row(text, "private", "clinc150 bank (policy)", 0);
    return row(text, "public", "clinc150 general", 0.15);
  });
}

const HR_DOMAINS = new Set(["benefits_enrollment", "goal_setting", "training_request"]);

function hrDialogues(dialogues: readonly Json[]): readonly Row[] {
  return dialogues.flatMap((entry) => {
    const turns = entry["turns"] as readonly { readonly speaker: string; readonly text: string }[];
    const texts = turns.map((turn) => turn.text);
    const counts = HR_DOMAINS.has(string(entry, "domain"));
    const name = counts ? "hr-multiwoz" : "hr-multiwoz IT service (policy)";
    const prefixes = turns.flatMap(({ speaker }, index) =>
      speaker === "employee" ? [texts.slice(0, index + 1)] : [],
    );
    return [
      row(texts, "hr", `${name} dialogues`, counts ? 1.5 : 0),
      ...prefixes.map((prefix) => row(prefix, "hr", `${name} turns with history`, counts ? 0.3 : 0)),
    ];
  });
}

const labels = (path: string): ReadonlyMap<string, string> =>
  new Map(dataLines(path).map((line) => line.split("\t") as [string, string]));

function pupa(prompts: readonly Json[]): readonly Row[] {
  const byId = labels("labels-pupa-tnb.tsv");
  return prompts.map((entry) => {
    const text = [string(entry, "text")];
    const label = byId.get(string(entry, "id"));
    if (label === "private") return row(text, "private", "pupa-tnb private", 3);
    if (label === "public") return row(text, "public", "pupa-tnb public", 3);
    return row(text, "private", "pupa-tnb unclear", 0);
  });
}

function selfInstruct(tasks: readonly Json[]): readonly Row[] {
  const byId = labels("labels-self-instruct.tsv");
  return tasks.map((task) => {
    const [first] = task["instances"] as readonly { readonly input: string }[];
    const text = [[string(task, "instruction"), first?.input ?? ""].join("\n").trim()];
    const label = byId.get(string(task, "id"));
    if (label === "private") return row(text, "private", "self-instruct private", 3);
    if (label === "unclear") return row(text, "private", "self-instruct unclear", 0);
    return row(text, "public", "self-instruct public", 3);
  });
}

/** Windows of this many lines of a log. */
const LOG_LINES = 12;

function irc(lines: readonly Json[]): readonly Row[] {
  const draws = new Draws(hash("irc"));
  const rows: Row[] = [];
  for (let from = 0; from + LOG_LINES <= lines.length; from += LOG_LINES) {
    const part = lines.slice(from, from + LOG_LINES);
    const asWritten = part.map(
      (line) => `[${string(line, "time").slice(0, 5)}] <${string(line, "nick")}> ${string(line, "text")}`,
    );
    rows.push(row([asWritten.join("\n")], "chat-log", "irc as logged", 1));
    const nicks = [...new Set(part.map((line) => string(line, "nick")))];
    rows.push(
      row(
        [
          chatLog(
            part.map((line) => string(line, "text")),
            nicks,
            draws,
          ),
        ],
        "chat-log",
        "irc in other forms",
        1,
      ),
    );
  }
  return rows;
}

const IDENTIFYING = new Set([
  "PERSON",
  "PHONE_NUMBER",
  "EMAIL_ADDRESS",
  "STREET_ADDRESS",
  "US_SSN",
  "IBAN_CODE",
  "CREDIT_CARD",
]);

function presidio(texts: readonly Json[]): readonly Row[] {
  return texts.flatMap((entry) => {
    const spans = entry["spans"] as readonly { readonly type: string }[];
    const text = [string(entry, "text")];
    if (spans.some(({ type }) => IDENTIFYING.has(type)))
      return [row(text, "private", "presidio identifying", 0.2)];
    return spans.length === 0 ? [row(text, "public", "presidio no personal data", 0.2)] : [];
  });
}

const banking = (queries: readonly Json[]): readonly Row[] =>
  queries.map((entry) => row([string(entry, "text")], "private", "banking77 (policy)", 0));

const HR_PAGES =
  /people-talent|benefits|pay-perks|leave|hiring|onboarding|compensation|employee-resources|performance|teammate-development|career/;
const OTHER_PAGES =
  /engineering|security|technical|design|product\/|cloud|tech-ops|marketing|acq|18f\/projects/;
const PARAGRAPH_MIN = 120;

/** Pages of company handbooks, by paragraph: those on people and benefits are HR, those on machines and products public. */
function handbook(pages: readonly Json[]): readonly Row[] {
  return pages.flatMap((page, index) => {
    const path = string(page, "path");
    const hr = HR_PAGES.test(path);
    if (!hr && !OTHER_PAGES.test(path)) return [];
    const paragraphs = string(page, "text")
      .split(/\n\s*\n/)
      .filter((text) => text.length >= PARAGRAPH_MIN);
    const draws = new Draws(index);
    return Array.from({ length: Math.min(hr ? 12 : 4, paragraphs.length) }, () =>
      row([draws.pick(paragraphs).slice(0, 1500)], hr ? "hr" : "public", "handbook", hr ? 0.3 : 0.3, false),
    );
  });
}

const turnsOf = (entry: Json): readonly string[] =>
  (entry["turns"] as readonly { readonly text: string }[]).map((turn) => turn.text);

function topicalChat(chats: readonly Json[]): readonly Row[] {
  const draws = new Draws(hash("chats"));
  const names = readFillers().get("first") ?? [];
  return chats
    .filter((_, index) => index % 4 === 0)
    .map((chat) => {
      const turns = turnsOf(chat);
      const from = draws.next(Math.max(1, turns.length - 8));
      const pair = [draws.pick(names), draws.pick(names)];
      return row(
        [chatLog(turns.slice(from, from + 3 + draws.next(6)), pair, draws)],
        "chat-log",
        "chats",
        0.5,
        false,
      );
    });
}

const taskDialogues = (dialogues: readonly Json[]): readonly Row[] =>
  dialogues
    .filter((_, index) => index % 4 === 0)
    .map((entry) => row(turnsOf(entry), "public", "task dialogues", 0.3, false));

const stories = (texts: readonly Json[]): readonly Row[] =>
  texts
    .filter((_, index) => index % 3 === 0)
    .map((entry) => row([string(entry, "text").slice(0, 1200)], "public", "stories", 0.3, false));

interface Outside {
  /** Below the data folder. */
  readonly files: readonly string[];
  readonly rows: (...files: readonly (readonly Json[])[]) => readonly Row[];
}

const OUTSIDE: Readonly<Record<string, Outside>> = {
  clinc150: {
    files: ["train", "val", "test"].map((part) => `privacy/clinc150/${part}.jsonl`),
    rows: clinc,
  },
  "hr-multiwoz": { files: ["privacy/hr-multiwoz/dialogues.jsonl"], rows: hrDialogues },
  "pupa-tnb": { files: ["privacy/pupa-tnb/prompts.jsonl"], rows: pupa },
  gsm8k: {
    files: ["privacy/gsm8k/problems.jsonl"],
    rows: (problems) => problems.map((entry) => row([string(entry, "question")], "public", "gsm8k", 1)),
  },
  humaneval: {
    files: ["privacy/humaneval/problems.jsonl"],
    rows: (problems) =>
      problems.flatMap((entry) => [
        row([string(entry, "prompt")], "public", "humaneval", 2),
        row([string(entry, "prompt") + string(entry, "solution")], "public", "humaneval with solution", 1),
      ]),
  },
  "self-instruct": { files: ["privacy/self-instruct/seed_tasks.jsonl"], rows: selfInstruct },
  "irc-disentanglement": { files: ["privacy/irc-disentanglement/mediawiki.jsonl"], rows: irc },
  "presidio-research": { files: ["privacy/presidio-research/synth_v2.jsonl"], rows: presidio },
  banking77: { files: ["privacy/banking77/test.jsonl"], rows: banking },
  handbooks: {
    files: ["text/handbook_sourcegraph.jsonl.gz", "text/handbook_18f.jsonl.gz"],
    rows: (...books) => books.flatMap(handbook),
  },
  "topical-chat": { files: ["text/topical_chat.jsonl.gz"], rows: topicalChat },
  taskmaster: { files: ["text/taskmaster4.jsonl.gz"], rows: taskDialogues },
  tinystories: { files: ["text/tinystories.jsonl.gz"], rows: stories },
};
