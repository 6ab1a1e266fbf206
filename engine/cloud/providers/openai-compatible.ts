/**
 * Chat completions, and completions where a backend has them: OpenAI, Azure OpenAI, DashScope, vLLM, llama-server and
 * many more. https://platform.openai.com/docs/api-reference/chat
 */
import type { ErrorCode } from "../../core/errors.ts";
import type { FinishReason } from "../../core/generator.ts";
import type { ChatMessage, GenerationRequest } from "../../core/request.ts";
import {
  fields,
  items,
  type Json,
  messagesOf,
  parseBody,
  parseData,
  problemOf,
  refuseLocalOnly,
  ShapeError,
  statusIn,
  textOf,
  toolsOf,
} from "./parts.ts";
import type { AnswerReader, Piece, Provider } from "./provider.ts";

export interface OpenAiOptions {
  /** `api-key`: Azure's header. */
  readonly auth: "bearer" | "api-key";
  /** Behind each path, such as `?api-version=2024-10-21`; empty for none. */
  readonly query: string;
  /** OpenAI's own models want the first, older servers know only the second. */
  readonly maxTokensField: "max_completion_tokens" | "max_tokens";
  /** The backend has `/completions`; otherwise a text to complete goes as a user's message. */
  readonly completions: boolean;
  /** The backend knows vLLM's sampling parameters (top_k, min_p, repetition_penalty); others refuse them. */
  readonly extras: boolean;
}

/** Short, because a long number looks like a telephone number or an id to whoever scans what leaves. */
const SEED_RANGE = 2 ** 16;

export const openAiCompatible = (options: OpenAiOptions): Provider => ({
  encode: (request, model) => {
    refuseLocalOnly(request);
    const body = { model, ...common(request, options) };
    if (request.prompt.kind === "text" && options.completions) {
      return {
        path: `/completions${options.query}`,
        body: { ...body, ...maxTokens(request, "max_tokens"), prompt: request.prompt.text },
      };
    }
    const tools = toolsOf(request).map((tool) => ({ type: "function", function: tool }));
    return {
      path: `/chat/completions${options.query}`,
      body: {
        ...body,
        ...maxTokens(request, options.maxTokensField),
        messages: messagesOf(request).map(toMessage),
        ...(tools.length === 0 ? {} : { tools }),
      },
    };
  },
  headers: (secret): Readonly<Record<string, string>> => {
    if (secret === undefined) return {};
    return options.auth === "api-key" ? { "api-key": secret } : { authorization: `Bearer ${secret}` };
  },
  open: () => readAnswer(),
  problem: (status, body) => {
    const error = fields(parseBody(body)["error"]);
    const byCode = problemOf(status, error["code"], WORDS);
    return Object.hasOwn(WORDS, byCode.word) ? byCode : problemOf(status, error["type"], WORDS);
  },
});

/** What OpenAI's defaults would be anyway is not sent: some models refuse even the default where they allow no other. */
function common({ sampling, stop }: GenerationRequest, { extras }: OpenAiOptions): Json {
  const { temperature, topP, presencePenalty, frequencyPenalty, topK, minP, repetitionPenalty } = sampling;
  return {
    stream: true,
    stream_options: { include_usage: true },
    seed: sampling.seed % SEED_RANGE,
    ...(temperature === 1 ? {} : { temperature }),
    ...(topP === 1 ? {} : { top_p: topP }),
    ...(presencePenalty === 0 ? {} : { presence_penalty: presencePenalty }),
    ...(frequencyPenalty === 0 ? {} : { frequency_penalty: frequencyPenalty }),
    ...(stop.length === 0 ? {} : { stop }),
    ...(!extras || topK === 0 ? {} : { top_k: topK }),
    ...(!extras || minP === 0 ? {} : { min_p: minP }),
    ...(!extras || repetitionPenalty === 1 ? {} : { repetition_penalty: repetitionPenalty }),
  };
}

const maxTokens = ({ maxTokens: max }: GenerationRequest, field: string): Json =>
  max === undefined ? {} : { [field]: max };

function toMessage({ role, content, name, toolCalls, toolCallId }: ChatMessage): Json {
  const named = name === undefined ? {} : { name };
  if (role === "tool") return { role, content, tool_call_id: toolCallId ?? "" };
  if (toolCalls === undefined || toolCalls.length === 0) return { role, content, ...named };
  const calls = toolCalls.map(({ id, ...call }) => ({
    id,
    type: "function",
    function: { name: call.name, arguments: call.arguments },
  }));
  return { role, content: content === "" ? null : content, ...named, tool_calls: calls };
}

const REASONS: Readonly<Record<string, FinishReason>> = {
  stop: "stop",
  length: "length",
  tool_calls: "tool_calls",
  function_call: "tool_calls",
  content_filter: "content_filter",
};

function readAnswer(): AnswerReader {
  const calls = new CallIndex();
  return ({ data }) => {
    if (data === "[DONE]") return [{ kind: "end" }];
    const chunk = parseData(data);
    if (chunk["error"] !== undefined && chunk["error"] !== null) {
      const error = fields(chunk["error"]);
      const status = statusIn(error["code"]);
      return [{ kind: "problem", problem: problemOf(status, error["code"] ?? error["type"], WORDS) }];
    }
    const pieces: Piece[] = [];
    for (const choice of items(chunk["choices"]).slice(0, 1)) {
      const { delta, text, finish_reason: reason } = fields(choice);
      const { content, refusal, tool_calls: deltas } = fields(delta);
      // A completion's text, a chat's content, or why the model will not answer: one of the three.
      const said = textOf(text) + textOf(content) + textOf(refusal);
      if (said !== "") pieces.push({ kind: "text", text: said });
      for (const each of items(deltas)) pieces.push(calls.read(fields(each)));
      if (typeof reason === "string") pieces.push({ kind: "reason", reason: REASONS[reason] ?? "stop" });
    }
    const usage = chunk["usage"];
    if (usage !== undefined && usage !== null)
      pieces.push({ kind: "counts", counts: countsOf(fields(usage)) });
    return pieces;
  };
}

const countsOf = (usage: Json) => ({
  prompt: usage["prompt_tokens"],
  completion: usage["completion_tokens"],
  cached: fields(usage["prompt_tokens_details"])["cached_tokens"],
});

/** Numbers the calls from 0 in the order of their beginning, whatever numbers the backend gives them, or none. */
class CallIndex {
  /** By the backend's number. */
  readonly #numbers = new Map<number, number>();
  #last = -1;

  read(delta: Json): Piece {
    const { id, index, function: call } = delta;
    const { name, arguments: part } = fields(call);
    const theirs = typeof index === "number" ? index : undefined;
    // Some servers repeat the id in each part, and some leave the number out: then a new id begins a call.
    const known = theirs === undefined ? undefined : this.#numbers.get(theirs);
    const begins = theirs === undefined ? typeof id === "string" && id !== "" : known === undefined;
    if (!begins) {
      const ours = known ?? this.#last;
      if (ours < 0) throw new ShapeError("a part of a tool call that has not begun");
      return { kind: "tool_call", index: ours, opening: undefined, arguments: textOf(part) };
    }
    this.#last += 1;
    if (theirs !== undefined) this.#numbers.set(theirs, this.#last);
    const opening = { id: textOf(id) || `call_${this.#last}`, name: textOf(name) };
    return { kind: "tool_call", index: this.#last, opening, arguments: textOf(part) };
  }
}

/** https://platform.openai.com/docs/guides/error-codes; vLLM and llama-server use class names and types of their own. */
const WORDS: Readonly<Record<string, ErrorCode>> = {
  context_length_exceeded: "context_length_exceeded",
  exceed_context_size_error: "context_length_exceeded",
  model_not_found: "backend_refused",
  invalid_api_key: "backend_refused",
  insufficient_quota: "backend_refused",
  authentication_error: "backend_refused",
  permission_error: "backend_refused",
  billing_hard_limit_reached: "backend_refused",
  rate_limit_exceeded: "overloaded",
  rate_limit_error: "overloaded",
  content_filter: "invalid_request",
  content_policy_violation: "invalid_request",
  invalid_request_error: "invalid_request",
  BadRequestError: "invalid_request",
  server_error: "backend_failed",
  api_error: "backend_failed",
  overloaded_error: "overloaded",
  unavailable_error: "backend_failed",
};
