/** Anthropic's Messages: https://platform.claude.com/docs/en/api/messages and .../build-with-claude/streaming */
import type { ErrorCode } from "../../core/errors.ts";
import type { FinishReason } from "../../core/generator.ts";
import type { ChatMessage, GenerationRequest } from "../../core/request.ts";
import {
  argumentsOf,
  fields,
  isInstruction,
  type Json,
  messagesOf,
  parseBody,
  parseData,
  problemOf,
  refuseLocalOnly,
  ShapeError,
  textOf,
  toolsOf,
  turnsOf,
} from "./parts.ts";
import type { AnswerReader, Counts, Piece, Provider } from "./provider.ts";

const VERSION = "2023-06-01";

export interface AnthropicOptions {
  /** Sent for requests that name no bound: Anthropic wants one. */
  readonly maxTokensDefault: number;
}

export const anthropic = ({ maxTokensDefault }: AnthropicOptions): Provider => ({
  encode: (request, model) => {
    refuseLocalOnly(request);
    const messages = messagesOf(request);
    const system = messages.filter(isInstruction).map(({ content }) => content);
    const tools = toolsOf(request).map(({ name, description, parameters }) => ({
      name,
      ...(description === undefined ? {} : { description }),
      input_schema: parameters ?? { type: "object" },
    }));
    return {
      path: "/messages",
      body: {
        model,
        max_tokens: request.maxTokens ?? maxTokensDefault,
        stream: true,
        ...sampling(request),
        ...(system.length === 0 ? {} : { system: system.join("\n\n") }),
        messages: toTurns(messages.filter((message) => !isInstruction(message))),
        ...(tools.length === 0 ? {} : { tools }),
      },
    };
  },
  headers: (secret) => ({
    "anthropic-version": VERSION,
    ...(secret === undefined ? {} : { "x-api-key": secret }),
  }),
  open: () => readAnswer(),
  problem: (status, body) => problemOf(status, fields(parseBody(body)["error"])["type"], WORDS),
});

/** Temperatures end at 1 here. Of temperature and top_p newer models take one only: the first decides. */
function sampling({ sampling: { temperature, topP, topK }, stop }: GenerationRequest): Json {
  const steered = temperature !== 1;
  return {
    ...(steered ? { temperature: Math.min(temperature, 1) } : {}),
    ...(topP === 1 || steered ? {} : { top_p: topP }),
    ...(topK === 0 ? {} : { top_k: topK }),
    ...(stop.length === 0 ? {} : { stop_sequences: stop }),
  };
}

const toTurns = (messages: readonly ChatMessage[]): readonly Json[] =>
  turnsOf(messages, (message) => ({
    role: message.role === "assistant" ? "assistant" : "user",
    parts: toBlocks(message),
  })).map(({ role, parts }) => ({ role, content: parts }));

function toBlocks(message: ChatMessage): Json[] {
  const { role, content, toolCallId, toolCalls = [] } = message;
  if (role === "tool" && toolCallId !== undefined) {
    return [{ type: "tool_result", tool_use_id: callId(toolCallId), content }];
  }
  return [
    // An empty block is refused.
    ...(content === "" ? [] : [{ type: "text", text: content }]),
    ...toolCalls.map((call) => ({
      type: "tool_use",
      id: callId(call.id),
      name: call.name,
      input: argumentsOf(call),
    })),
  ];
}

/** Ids of other vendors may hold characters that are refused here. */
const callId = (id: string): string => id.replace(/[^A-Za-z0-9_-]/g, "_");

const REASONS: Readonly<Record<string, FinishReason>> = {
  end_turn: "stop",
  stop_sequence: "stop",
  pause_turn: "stop",
  max_tokens: "length",
  model_context_window_exceeded: "length",
  tool_use: "tool_calls",
  refusal: "content_filter",
};

function readAnswer(): AnswerReader {
  /** Calls by the number of their block; text has blocks too. */
  const calls = new Map<unknown, number>();
  let begun = 0;
  return ({ data }) => {
    const event = parseData(data);
    switch (event["type"]) {
      case "message_start":
        return counts(fields(event["message"])["usage"]);
      case "content_block_start": {
        const { type, id, name } = fields(event["content_block"]);
        if (type !== "tool_use") return [];
        const index = begun;
        begun += 1;
        calls.set(event["index"], index);
        const opening = { id: textOf(id), name: textOf(name) };
        return [{ kind: "tool_call", index, opening, arguments: "" }];
      }
      case "content_block_delta":
        return readDelta(fields(event["delta"]), calls.get(event["index"]));
      case "message_delta": {
        const reason = fields(event["delta"])["stop_reason"];
        const ended: readonly Piece[] =
          typeof reason === "string" ? [{ kind: "reason", reason: REASONS[reason] ?? "stop" }] : [];
        return [...counts(event["usage"]), ...ended];
      }
      case "message_stop":
        return [{ kind: "end" }];
      case "error":
        return [{ kind: "problem", problem: problemOf(500, fields(event["error"])["type"], WORDS) }];
      // Pings, ends of blocks, and whatever will be added: "your code should handle unknown event types gracefully".
      default:
        return [];
    }
  };
}

function readDelta({ type, text, partial_json: json }: Json, call: number | undefined): readonly Piece[] {
  if (type === "text_delta") return [{ kind: "text", text: textOf(text) }];
  if (type !== "input_json_delta") return [];
  if (call === undefined) throw new ShapeError("a part of a tool call that has not begun");
  return [{ kind: "tool_call", index: call, opening: undefined, arguments: textOf(json) }];
}

/** Its input tokens are those that the cache did not have; ours are all of the prompt. */
function counts(value: unknown): readonly Piece[] {
  const usage = fields(value);
  const { input_tokens: fresh, cache_read_input_tokens: cached, output_tokens: completion } = usage;
  const written = usage["cache_creation_input_tokens"];
  const found: Counts = {
    completion,
    ...(fresh === undefined ? {} : { prompt: sum([fresh, cached ?? 0, written ?? 0]), cached: cached ?? 0 }),
  };
  return [{ kind: "counts", counts: found }];
}

/** One part that is no count makes the whole none. */
const sum = (parts: readonly unknown[]): unknown =>
  parts.every((part): part is number => typeof part === "number" && part >= 0)
    ? parts.reduce((total, part) => total + part, 0)
    : undefined;

/** https://platform.claude.com/docs/en/api/errors */
const WORDS: Readonly<Record<string, ErrorCode>> = {
  invalid_request_error: "invalid_request",
  authentication_error: "backend_refused",
  billing_error: "backend_refused",
  permission_error: "backend_refused",
  not_found_error: "backend_refused",
  request_too_large: "body_too_large",
  rate_limit_error: "overloaded",
  overloaded_error: "overloaded",
  timeout_error: "backend_failed",
  api_error: "backend_failed",
};
