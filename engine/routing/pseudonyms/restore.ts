/**
 * Puts values back into an answer while it streams. Only what may be the beginning of a placeholder of this very request waits
 * for the next event; all else goes on at once.
 */
import type { TokenId } from "../../core/brand.ts";
import type { GenerationEvent, TokenLogprob } from "../../core/generator.ts";
import { PlaceholderReader } from "./placeholders.ts";

type TextEvent = Extract<GenerationEvent, { kind: "text" }>;
type CallEvent = Extract<GenerationEvent, { kind: "tool_call" }>;

/** One answer's way back; may be asked for any number of answers to the same request. */
export type Restorer = (events: AsyncIterable<GenerationEvent>) => AsyncIterable<GenerationEvent>;

/**
 * `values` by placeholder. No value holds a character that JSON escapes, so that one text fits prose, JSON, and JSON inside
 * strings of JSON. What the model wrote that looks like a placeholder and was never given out stays as it is.
 */
export function restorer(values: ReadonlyMap<string, string>): Restorer {
  if (values.size === 0) return (events) => events;
  const reader = new PlaceholderReader(values.keys());
  return (events) => restored(events, () => new TextRestorer(values, reader));
}

async function* restored(
  events: AsyncIterable<GenerationEvent>,
  newText: () => TextRestorer,
): AsyncGenerator<GenerationEvent> {
  const answer = new AnswerRestorer(newText);
  try {
    for await (const event of events) {
      switch (event.kind) {
        case "text": {
          const told = answer.text(event);
          if (told !== undefined) yield told;
          break;
        }
        case "tool_call": {
          const told = answer.call(event);
          if (told !== undefined) yield told;
          break;
        }
        case "prompt": {
          const text = newText();
          yield { ...event, text: text.push(event.text) + text.flush() };
          break;
        }
        case "started":
          yield event;
          break;
        case "finished":
          yield* answer.rest();
          yield event;
          break;
      }
    }
  } catch (error) {
    // What has come is the client's, also where no more will come.
    yield* answer.rest();
    throw error;
  }
  yield* answer.rest();
}

class AnswerRestorer {
  readonly #newText: () => TextRestorer;
  readonly #text: TextRestorer;
  readonly #calls = new Map<number, TextRestorer>();
  /** Of text that is held back at least in part. */
  #tokens: TokenId[] = [];
  #logprobs: TokenLogprob[] = [];

  constructor(newText: () => TextRestorer) {
    this.#newText = newText;
    this.#text = newText();
  }

  /** Tokens wait for the last of their text, as the seam says. */
  text(event: TextEvent): TextEvent | undefined {
    const text = this.#text.push(event.text);
    if (text === event.text && this.#tokens.length === 0) return event;
    this.#tokens.push(...event.tokens);
    this.#logprobs.push(...event.logprobs);
    return this.#told(text, this.#text.holds);
  }

  call(event: CallEvent): CallEvent | undefined {
    let text = this.#calls.get(event.index);
    if (text === undefined) {
      text = this.#newText();
      this.#calls.set(event.index, text);
    }
    const written = text.push(event.arguments);
    if (written === event.arguments) return event;
    if (written === "" && event.opening === undefined) return undefined;
    return { ...event, arguments: written };
  }

  /** What was held back and became no placeholder. */
  *rest(): Generator<GenerationEvent> {
    const told = this.#told(this.#text.flush(), false);
    if (told !== undefined) yield told;
    for (const [index, text] of this.#calls) {
      const written = text.flush();
      if (written !== "") yield { kind: "tool_call", index, opening: undefined, arguments: written };
    }
  }

  #told(text: string, holds: boolean): TextEvent | undefined {
    const tokens = holds ? [] : this.#tokens;
    const logprobs = holds ? [] : this.#logprobs;
    if (text === "" && tokens.length === 0) return undefined;
    if (!holds) {
      this.#tokens = [];
      this.#logprobs = [];
    }
    return { kind: "text", text, tokens, logprobs };
  }
}

class TextRestorer {
  readonly #values: ReadonlyMap<string, string>;
  readonly #reader: PlaceholderReader;
  /** May be the beginning of a placeholder. */
  #held = "";

  constructor(values: ReadonlyMap<string, string>, reader: PlaceholderReader) {
    this.#values = values;
    this.#reader = reader;
  }

  get holds(): boolean {
    return this.#held !== "";
  }

  /** What is certain of the text so far. */
  push(part: string): string {
    const text = this.#held + part;
    this.#held = "";
    let out = "";
    let copied = 0;
    for (let at = this.#reader.opening(text, 0); at !== -1; ) {
      const reading = this.#reader.read(text, at);
      if (reading.kind === "begun") {
        this.#held = text.slice(at);
        return out + text.slice(copied, at);
      }
      if (reading.kind === "whole") {
        out += text.slice(copied, at) + (this.#values.get(reading.placeholder) as string);
        copied = reading.end;
      }
      at = this.#reader.opening(text, reading.kind === "whole" ? reading.end : at + 1);
    }
    return copied === 0 ? text : out + text.slice(copied);
  }

  flush(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }
}
