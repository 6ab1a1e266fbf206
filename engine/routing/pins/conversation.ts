/**
 * What a conversation is known by: a chain of keyed hashes over its messages, from the first one of a user on. So each of its
 * later requests has each of its earlier ones as a beginning, and a system prompt, which many conversations share, is none.
 */
import { createHmac, hash } from "node:crypto";

/** Shorter answers, such as "Yes, of course.", are the same in conversations that have nothing to do with each other. */
const ANSWER_MIN = 32;
/** As are shorter messages of a user, and those are more often the same: "Summarise it in three points, please." */
const MESSAGE_MIN = 64;

export interface Turn {
  readonly role: string;
  /** Of all its text parts; what is no text is known by its kind only. */
  readonly text: string;
  /** Arguments of the calls in it. */
  readonly calls: readonly string[];
}

/** The messages of a chat body; the prompts of a completion, as a user's; none of another body. */
export function turnsOf(body: unknown): readonly Turn[] {
  const { messages, prompt } = fieldsOf(body);
  if (Array.isArray(messages)) return messages.map(turnOf);
  // Token ids are not read: they are restricted by themselves.
  const prompts: readonly unknown[] = Array.isArray(prompt) ? prompt : [prompt];
  return prompts.every((each) => typeof each === "string")
    ? prompts.map((each) => ({ role: "user", text: cleaned(each), calls: [] }))
    : [];
}

/** What a conversation is known by. */
export interface Marks {
  /** Of each beginning of it, from the first turn of a user on: that turn, it and the next, and so on. */
  readonly beginnings: readonly string[];
  /** Of what is told by itself, wherever it stands: answers, arguments of calls, longer messages of the user. */
  readonly sayings: readonly string[];
  /** Of those, what the user said since the last answer: what made the conversation what it is now. */
  readonly asked: readonly string[];
}

/**
 * Digests, in hex. Another caller's same conversation has other ones. Only where a chain begins there is the key, which takes an
 * HMAC; the hashes after it are some twenty times as fast, and nobody can compute one without all before it.
 */
export class Digests {
  readonly #secret: Uint8Array;

  constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  marks(caller: string, turns: readonly Turn[]): Marks {
    const ofAnswers = this.#start("answer", caller);
    const ofMessages = this.#start("message", caller);
    const beginnings: string[] = [];
    const sayings: string[] = [];
    let asked: string[] = [];
    let beginning: string | undefined;
    for (const { role, text, calls } of turns) {
      if (beginning === undefined && role === "user") beginning = this.#start("conversation", caller);
      if (beginning !== undefined) {
        beginning = following(beginning, JSON.stringify([role, text]));
        beginnings.push(beginning);
      }
      if (role === "assistant") {
        const answers = [text, ...calls].filter(tells);
        sayings.push(...answers.map((answer) => following(ofAnswers, answer)));
        asked = [];
      } else if (role === "user" && text.length >= MESSAGE_MIN) {
        const message = following(ofMessages, text);
        sayings.push(message);
        asked.push(message);
      }
    }
    return { beginnings, sayings, asked };
  }

  /** Of an answer, or the arguments of a call; undefined where it is too short to tell anything. */
  answer(caller: string, text: string): string | undefined {
    const plain = asSaid(text);
    return tells(plain) ? following(this.#start("answer", caller), plain) : undefined;
  }

  #start(kind: string, caller: string): string {
    return createHmac("sha256", this.#secret)
      .update(JSON.stringify([kind, caller]))
      .digest("hex");
  }
}

const following = (digest: string, text: string): string => hash("sha256", `${digest}${text}`, "hex");
const tells = (answer: string): boolean => answer.length >= ANSWER_MIN;

function turnOf(message: unknown): Turn {
  const { role: said, content, refusal, tool_calls: calls, function_call: call } = fieldsOf(message);
  const role = typeof said === "string" ? said : "";
  const text = textOf(content ?? refusal);
  if (role !== "assistant") return { role, text: cleaned(text), calls: [] };
  const all = [...(Array.isArray(calls) ? calls : []), { function: call }];
  return { role, text: asSaid(text), calls: all.map(argumentsOf).filter((each) => each !== "") };
}

function argumentsOf(call: unknown): string {
  const { arguments: given } = fieldsOf(fieldsOf(call)["function"]);
  return typeof given === "string" ? asSaid(given) : "";
}

function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (Array.isArray(content)) return content.map(partText).join("\n");
  return content === null || content === undefined ? "" : NO_TEXT;
}

function partText(part: unknown): string {
  if (typeof part === "string") return part;
  const { type, text, refusal } = fieldsOf(part);
  const said = text ?? refusal;
  // An image's address may be another one each time, so that it would make another conversation of this one.
  return typeof said === "string" ? said : `${NO_TEXT}${typeof type === "string" ? type : ""}`;
}

const NO_TEXT = "\0";

/** As it comes back: clients trim what they keep, and write line ends and accents in their own way. */
const cleaned = (text: string): string => text.replaceAll("\r\n", "\n").trim().normalize();

/** An answer may be JSON, as arguments are: clients read it and write it again, with other white space. */
function asSaid(text: string): string {
  const plain = cleaned(text);
  if (plain[0] !== "{" && plain[0] !== "[") return plain;
  try {
    return JSON.stringify(JSON.parse(plain));
  } catch {
    return plain; // no JSON: it is known as it stands
  }
}

const fieldsOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
