/**
 * What a conversation is known by: a chain of keyed hashes over its messages, from the first one of a user on. So each of its
 * later requests has each of its earlier ones as a beginning, and a system prompt, which many conversations share, is none.
 */
import { createHmac, hash } from "node:crypto";

/** Shorter answers, such as "Yes, of course.", are the same in conversations that have nothing to do with each other. */
const ANSWER_MIN = 32;

export interface Turn {
  readonly role: string;
  /** Of all its text parts; what is no text is known by its kind only. */
  readonly text: string;
}

/** The messages of a chat body; none of another body. */
export function turnsOf(body: unknown): readonly Turn[] {
  const messages = fieldsOf(body)["messages"];
  return Array.isArray(messages) ? messages.map(turnOf) : [];
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

  /** Of each beginning of the conversation, from the first turn of a user on: that turn, it and the next, and so on. */
  *beginnings(caller: string, turns: readonly Turn[]): Generator<string> {
    const first = turns.findIndex(({ role }) => role === "user");
    if (first === -1) return;
    let digest = this.#start("conversation", caller);
    for (const { role, text } of turns.slice(first)) {
      digest = following(digest, JSON.stringify([role, text]));
      yield digest;
    }
  }

  /** Of the answers among the turns, wherever they stand. */
  *answers(caller: string, turns: readonly Turn[]): Generator<string> {
    const start = this.#start("answer", caller);
    for (const { role, text } of turns) {
      if (role === "assistant" && tells(text)) yield following(start, text);
    }
  }

  /** Undefined for an answer that is too short to tell anything. */
  answer(caller: string, text: string): string | undefined {
    const plain = cleaned(text);
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
  const { role, content, refusal } = fieldsOf(message);
  return { role: typeof role === "string" ? role : "", text: cleaned(textOf(content ?? refusal)) };
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

const fieldsOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
