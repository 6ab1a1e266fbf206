/**
 * Every text in a request, wherever it hides: messages, content parts, tools, arguments that are JSON inside strings,
 * schemas, metadata, unknown parameters. What cannot be read as text is a doubt, and doubts stay in the house.
 */
import type { Evidence } from "../core/evidence.ts";
import { atField, entryOf, fieldOf, type Spot } from "./pointer.ts";

export type PartKind =
  | "system"
  | "message"
  | "tool-call"
  | "tool-result"
  | "tool-definition"
  | "schema"
  | "metadata"
  | "prompt"
  | "parameter";

export interface TextPart {
  /** JSON Pointer (RFC 6901), as deep as the interface's own names lead (pointer.ts); no deeper than a JSON string. */
  readonly where: string;
  readonly text: string;
  /** Of the message that it stands in; undefined outside messages. */
  readonly role: string | undefined;
  readonly kind: PartKind;
  /** The names that lead to a value in structured data, such as `employee salary`: context for reading it. */
  readonly label?: string;
}

export interface WalkBounds {
  /** Characters of all texts together. */
  readonly charactersMax: number;
  readonly partsMax: number;
  /** Objects and arrays within each other. */
  readonly nestingMax: number;
  /** JSON in strings in JSON. */
  readonly stringDepthMax: number;
}

export const WALK_BOUNDS: WalkBounds = {
  charactersMax: 4 << 20,
  partsMax: 50_000,
  nestingMax: 64,
  stringDepthMax: 5,
};

export interface Walked {
  readonly parts: readonly TextPart[];
  /** What could not be read, each of class restricted. */
  readonly doubts: readonly Evidence[];
}

/** All texts of a chat or completion body, in order. It throws for nothing that JSON can express. */
export function walkRequest(body: unknown, bounds: WalkBounds): Walked {
  const walk = new Walk(bounds);
  walk.body(body);
  return walk;
}

interface Place extends Spot {
  readonly kind: PartKind;
  readonly role: string | undefined;
  readonly label: string;
  readonly nesting: number;
  readonly strings: number;
}

type Fields = Readonly<Record<string, unknown>>;

const ROLES: ReadonlySet<string> = new Set(["system", "developer", "user", "assistant", "tool", "function"]);
const TEXT_TYPES: ReadonlySet<unknown> = new Set(["text", "refusal", "input_text", "output_text"]);
const KIND_OF: Readonly<Record<string, PartKind>> = {
  tools: "tool-definition",
  functions: "tool-definition",
  metadata: "metadata",
  user: "metadata",
  response_format: "schema",
};
/** As many names of a path as are kept for a label. */
const LABEL_NAMES = 3;

class Walk implements Walked {
  readonly parts: TextPart[] = [];
  readonly doubts: Evidence[] = [];
  readonly #bounds: WalkBounds;
  #characters = 0;
  #full = false;

  constructor(bounds: WalkBounds) {
    this.#bounds = bounds;
  }

  body(body: unknown): void {
    if (!isFields(body)) {
      this.#doubt("doubt.body", "");
      return;
    }
    if (body["messages"] === undefined && body["prompt"] === undefined) this.#doubt("doubt.no-input", "");
    for (const [name, value] of Object.entries(body)) {
      if (value === undefined) continue;
      const spot = atField(name);
      if (name === "messages") this.#messages(value, spot);
      else if (name === "prompt") this.#prompt(value, at(spot, "prompt"));
      else if (name === "model" && !isPlain(value)) {
        // A model's name is asked for no topic, known by its pointer; whatever else stands here is.
        this.#tree(value, { ...at({ where: "", ends: true }, "parameter"), label: name });
      } else this.#tree(value, { ...at(spot, KIND_OF[name] ?? "parameter"), label: name });
    }
  }

  #messages(messages: unknown, spot: Spot): void {
    if (!Array.isArray(messages)) {
      this.#doubt("doubt.messages", spot.where);
      this.#tree(messages, at(spot, "message"));
      return;
    }
    for (const [index, message] of messages.entries()) this.#message(message, entryOf(spot, index));
  }

  #message(message: unknown, spot: Spot): void {
    if (!isFields(message)) {
      this.#doubt("doubt.message", spot.where);
      this.#tree(message, at(spot, "message"));
      return;
    }
    const role = typeof message["role"] === "string" ? message["role"] : undefined;
    if (role === undefined || !ROLES.has(role)) this.#doubt("doubt.role", fieldOf(spot, "role").where);
    const kind = kindOfRole(role);
    for (const [name, value] of Object.entries(message)) {
      const place: Place = { ...at(fieldOf(spot, name), kind), role };
      if (name === "role" && role !== undefined && ROLES.has(role)) continue;
      if (name === "content") this.#content(value, place);
      else if (name === "tool_calls" || name === "function_call") this.#calls(value, place);
      else this.#tree(value, { ...place, label: name });
    }
  }

  #content(content: unknown, place: Place): void {
    if (!Array.isArray(content)) {
      if (typeof content !== "string" && content !== null && content !== undefined) {
        this.#doubt("doubt.content", place.where);
      }
      this.#tree(content, place);
      return;
    }
    for (const [index, part] of content.entries()) {
      const spot = entryOf(place, index);
      if (!isFields(part) || !TEXT_TYPES.has(part["type"])) {
        this.#doubt("doubt.content-part", spot.where);
        this.#tree(part, { ...place, ...spot });
        continue;
      }
      for (const [name, value] of Object.entries(part)) {
        if (name === "type") continue;
        const label = name === "text" || name === "refusal" ? "" : name;
        this.#tree(value, { ...place, ...fieldOf(spot, name), label });
      }
    }
  }

  /** Arguments are JSON in a string; where they are not, nobody knows how they will be read. */
  #calls(calls: unknown, place: Place): void {
    const list: readonly unknown[] = Array.isArray(calls) ? calls : [calls];
    for (const [index, call] of list.entries()) {
      const spot = Array.isArray(calls) ? entryOf(place, index) : place;
      const inner = isFields(call) && isFields(call["function"]) ? call["function"] : call;
      const written = isFields(inner) ? inner["arguments"] : undefined;
      if (typeof written === "string" && written.trim() !== "" && parsed(written) === undefined) {
        this.#doubt("doubt.arguments", spot.where);
      }
      this.#tree(call, { ...place, ...spot, kind: "tool-call", label: "" });
    }
  }

  #prompt(prompt: unknown, place: Place): void {
    if (typeof prompt === "string") this.#tree(prompt, place);
    else if (Array.isArray(prompt)) {
      for (const [index, entry] of prompt.entries()) {
        if (typeof entry === "string") this.#tree(entry, { ...place, ...entryOf(place, index) });
        else {
          // Token ids are text that cannot be read here: whose tokenizer they belong to is not known.
          this.#doubt("doubt.tokens", place.where);
          return;
        }
      }
    } else {
      this.#doubt("doubt.prompt", place.where);
      this.#tree(prompt, place);
    }
  }

  /** Any value: each text and number in it, the names of its fields with them. */
  #tree(value: unknown, place: Place): void {
    if (this.#full) return;
    if (value === null || value === undefined || typeof value === "boolean") return;
    if (typeof value === "string") this.#text(value, place);
    else if (typeof value === "number") this.#part(String(value), place);
    else if (place.nesting >= this.#bounds.nestingMax) this.#doubt("doubt.nesting", place.where);
    else if (Array.isArray(value)) {
      for (const [index, entry] of value.entries()) {
        this.#tree(entry, { ...place, ...entryOf(place, index), nesting: place.nesting + 1 });
      }
    } else if (isFields(value)) {
      for (const [name, entry] of Object.entries(value)) {
        const spot = fieldOf(place, name);
        const label = joined(place.label, name);
        const leaf = typeof entry === "string" || typeof entry === "number";
        // A name without a text of its own may itself be what was to be hidden.
        if (!leaf) this.#part("", { ...place, ...spot, label: name });
        this.#tree(entry, { ...place, ...spot, label, nesting: place.nesting + 1 });
      }
    } else this.#doubt("doubt.value", place.where);
  }

  #text(text: string, place: Place): void {
    this.#part(text, place);
    // A person's message is read as it stands; inside structured data and tools, JSON in strings is the custom.
    if (
      place.label === "" &&
      (place.kind === "message" || place.kind === "system" || place.kind === "prompt")
    ) {
      return;
    }
    const value = parsed(text);
    if (value === undefined) return;
    if (place.strings >= this.#bounds.stringDepthMax) this.#doubt("doubt.string-depth", place.where);
    else this.#tree(value, { ...place, ends: true, strings: place.strings + 1, nesting: place.nesting + 1 });
  }

  #part(text: string, { where, role, kind, label }: Place): void {
    if (this.#full || (text === "" && label === "")) return;
    this.#characters += text.length + label.length;
    if (this.parts.length >= this.#bounds.partsMax || this.#characters > this.#bounds.charactersMax) {
      this.#full = true;
      this.#doubt("doubt.size", "");
      return;
    }
    this.parts.push(label === "" ? { where, text, role, kind } : { where, text, role, kind, label });
  }

  #doubt(rule: string, where: string): void {
    if (this.doubts.length < DOUBTS_MAX) this.doubts.push({ rule, class: "restricted", where });
  }
}

/** One doubt decides; more are told so that they can be mended together. */
const DOUBTS_MAX = 32;

const at = ({ where, ends }: Spot, kind: PartKind): Place => ({
  where,
  ends,
  kind,
  role: undefined,
  label: "",
  nesting: 0,
  strings: 0,
});

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function kindOfRole(role: string | undefined): PartKind {
  if (role === "system" || role === "developer") return "system";
  return role === "tool" || role === "function" ? "tool-result" : "message";
}

function joined(label: string, name: string): string {
  const names = label === "" ? [] : label.split(" ");
  return [...names, name].slice(-LABEL_NAMES).join(" ");
}

/** A text that holds no other, or a number. */
const isPlain = (value: unknown): boolean =>
  typeof value === "number" || (typeof value === "string" && parsed(value) === undefined);

/** What a string holds as JSON, where that is an object, an array or a string again; else undefined. */
function parsed(text: string): unknown {
  const first = text.trimStart()[0];
  if (first !== "{" && first !== "[" && first !== '"') return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined; // not JSON: it has been read as a text
  }
}
