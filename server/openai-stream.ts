/**
 * OpenAI's stream chunks as text. What does not change from token to token is built once per stream; per event only the
 * text itself goes through JSON.stringify.
 */
import type { FinishReason } from "../engine/core/generator.ts";
import {
  type AnswerHead,
  characters,
  chatLogprob,
  legacyLogprobs,
  legacyPromptLogprobs,
  legacyReason,
  usageBody,
} from "./openai-shape.ts";
import type { AnswerEvent } from "./routes/generate.ts";

type Counts = Parameters<typeof usageBody>[0];
type TextEvent = Extract<AnswerEvent, { kind: "text" }>;
type ToolCallEvent = Extract<AnswerEvent, { kind: "tool_call" }>;
type PromptEvent = Extract<AnswerEvent, { kind: "prompt" }>;

/** Chunks of one answer; each function gives whole events, or "" where there is nothing to say. */
export interface ChunkWriter {
  opening(choice: number): string;
  event(choice: number, event: AnswerEvent): string;
  /** The last chunk, with no choices; only with `include_usage`. */
  usage(counts: Counts): string;
}

export const DONE = "data: [DONE]\n\n";

export interface ChunkOptions {
  readonly includeUsage: boolean;
  readonly logprobs: boolean;
  readonly tokenIds: boolean;
}

function frame(object: string, head: AnswerHead, includeUsage: boolean) {
  const fields = JSON.stringify({ id: head.id, object, created: head.created, model: head.model }).slice(
    0,
    -1,
  );
  return {
    before: `data: ${fields},"choices":[{"index":`,
    after: includeUsage ? '}],"usage":null}\n\n' : "}]}\n\n",
    usage: (counts: Counts) =>
      `data: ${fields},"choices":[],"usage":${JSON.stringify(usageBody(counts))}}\n\n`,
  };
}

export function completionChunks(
  head: AnswerHead,
  options: ChunkOptions & { readonly echo: boolean },
): ChunkWriter {
  const { before, after, usage } = frame("text_completion", head, options.includeUsage);
  /** Characters of the prompt that each choice sent before its answer. */
  const echoed = new Map<number, number>();
  const chunk = (choice: number, text: string, logprobs: string, reason: FinishReason | null, extra = "") =>
    `${before}${choice},"text":${JSON.stringify(text)},"logprobs":${logprobs},"finish_reason":${
      reason === null ? "null" : `"${reason}"`
    }${extra}${after}`;
  const legacy = (choice: number, event: TextEvent | PromptEvent): string => {
    if (!options.logprobs || event.logprobs === undefined) return "null";
    if (event.kind === "text") {
      return JSON.stringify(legacyLogprobs(event.logprobs, echoed.get(choice) ?? 0));
    }
    echoed.set(choice, characters(event.text));
    return JSON.stringify(legacyPromptLogprobs(event.text, event.logprobs));
  };
  return {
    opening: () => "",
    event(choice, event) {
      switch (event.kind) {
        case "text": {
          if (event.text === "" && !options.logprobs && !options.tokenIds) return "";
          const ids = options.tokenIds ? `,"token_ids":${JSON.stringify(event.tokens)}` : "";
          return chunk(choice, event.text, legacy(choice, event), null, ids);
        }
        case "prompt": {
          const ids = options.tokenIds ? `,"prompt_token_ids":${JSON.stringify(event.tokens)}` : "";
          if (!options.echo) return chunk(choice, "", "null", null, ids);
          return chunk(choice, event.text, legacy(choice, event), null, ids);
        }
        // Completions have no tools, and their format no place for calls.
        case "tool_call":
          return "";
        case "finished":
          return chunk(choice, "", "null", legacyReason(event.reason));
      }
    },
    usage: (counts) => (options.includeUsage ? usage(counts) : ""),
  };
}

export function chatChunks(
  head: AnswerHead,
  options: ChunkOptions & { readonly obfuscate: boolean },
): ChunkWriter {
  const { before, after, usage } = frame("chat.completion.chunk", head, options.includeUsage);
  const PAD = 32;
  const chunk = (choice: number, delta: string, reason: FinishReason | null, extra = "", top = "") => {
    const body = `${before}${choice},"delta":${delta}${extra},"finish_reason":${reason === null ? "null" : `"${reason}"`}`;
    const padding = options.obfuscate ? `,"obfuscation":"${"-".repeat(PAD - (delta.length % PAD))}"` : "";
    if (padding === "" && top === "") return body + after;
    return `${body}}]${padding}${top}${after.slice(2)}`;
  };
  return {
    opening: (choice) => chunk(choice, '{"role":"assistant","content":"","refusal":null}', null),
    event(choice, event) {
      switch (event.kind) {
        case "text": {
          if (event.text === "" && !options.logprobs && !options.tokenIds) return "";
          const logprobs = options.logprobs
            ? `,"logprobs":{"content":${JSON.stringify(event.logprobs.map(chatLogprob))},"refusal":null}`
            : "";
          const ids = options.tokenIds ? `,"token_ids":${JSON.stringify(event.tokens)}` : "";
          return chunk(choice, `{"content":${JSON.stringify(event.text)}}`, null, logprobs + ids);
        }
        case "prompt": {
          if (!options.tokenIds) return "";
          return chunk(choice, "{}", null, "", `,"prompt_token_ids":${JSON.stringify(event.tokens)}`);
        }
        case "tool_call":
          return chunk(choice, `{"tool_calls":[${JSON.stringify(toolCallDelta(event))}]}`, null);
        case "finished":
          return chunk(choice, "{}", event.reason);
      }
    },
    usage: (counts) => (options.includeUsage ? usage(counts) : ""),
  };
}

const toolCallDelta = ({ index, opening, arguments: part }: ToolCallEvent) =>
  opening === undefined
    ? { index, function: { arguments: part } }
    : { index, id: opening.id, type: "function", function: { name: opening.name, arguments: part } };
