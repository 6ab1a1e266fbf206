/** Google's Gemini: https://ai.google.dev/api/generate-content */
import type { ErrorCode } from "../../core/errors.ts";
import type { FinishReason } from "../../core/generator.ts";
import type { ChatMessage, GenerationRequest } from "../../core/request.ts";
import {
  argumentsOf,
  fields,
  isInstruction,
  items,
  type Json,
  messagesOf,
  parseBody,
  parseData,
  problemOf,
  refuseLocalOnly,
  statusIn,
  type Turn,
  textOf,
  toolsOf,
  turnsOf,
} from "./parts.ts";
import type { AnswerReader, Piece, Problem, Provider } from "./provider.ts";

/** Short, because a long number looks like a telephone number or an id to whoever scans what leaves. */
const SEED_RANGE = 2 ** 16;

/**
 * Newer models refuse a call in the history that lacks the signature of their own thoughts. OpenAI's shape has no place
 * for it, so calls come back without; this word is Google's for such histories:
 * https://ai.google.dev/gemini-api/docs/thought-signatures
 */
const NO_SIGNATURE = "skip_thought_signature_validator";

export const gemini = (): Provider => ({
  encode: (request, model) => {
    refuseLocalOnly(request);
    const messages = messagesOf(request);
    const instructions = messages.filter(isInstruction).map(({ content }) => ({ text: content }));
    const functions = toolsOf(request).map(({ name, description, parameters }) => ({
      name,
      ...(description === undefined ? {} : { description }),
      ...(parameters === undefined ? {} : { parametersJsonSchema: parameters }),
    }));
    return {
      path: `/models/${model}:streamGenerateContent?alt=sse`,
      body: {
        ...(instructions.length === 0 ? {} : { systemInstruction: { parts: instructions } }),
        contents: toContents(messages.filter((message) => !isInstruction(message))),
        ...(functions.length === 0 ? {} : { tools: [{ functionDeclarations: functions }] }),
        generationConfig: generationConfig(request),
      },
    };
  },
  headers: (secret): Readonly<Record<string, string>> =>
    secret === undefined ? {} : { "x-goog-api-key": secret },
  open: (request) => readAnswer(request),
  problem: (status, body) => toProblem(status, fields(parseBody(body)["error"])),
});

function generationConfig({ sampling, maxTokens, stop }: GenerationRequest): Json {
  const { temperature, topP, topK, presencePenalty, frequencyPenalty } = sampling;
  return {
    seed: sampling.seed % SEED_RANGE,
    ...(maxTokens === undefined ? {} : { maxOutputTokens: maxTokens }),
    ...(temperature === 1 ? {} : { temperature }),
    ...(topP === 1 ? {} : { topP }),
    ...(topK === 0 ? {} : { topK }),
    ...(presencePenalty === 0 ? {} : { presencePenalty }),
    ...(frequencyPenalty === 0 ? {} : { frequencyPenalty }),
    ...(stop.length === 0 ? {} : { stopSequences: stop }),
  };
}

function toContents(messages: readonly ChatMessage[]): readonly Turn<"user" | "model">[] {
  /** Results are told by the function's name here, and by the id of the call before them in OpenAI's shape. */
  const names = new Map<string, string>();
  return turnsOf(messages, (message) => {
    for (const call of message.toolCalls ?? []) names.set(call.id, call.name);
    return { role: message.role === "assistant" ? "model" : "user", parts: toParts(message, names) };
  });
}

function toParts(message: ChatMessage, names: ReadonlyMap<string, string>): Json[] {
  const { role, content, name, toolCallId, toolCalls = [] } = message;
  if (role === "tool") {
    const called = name ?? names.get(toolCallId ?? "") ?? "";
    return [{ functionResponse: { name: called, response: toResponse(content) } }];
  }
  return [
    ...(content === "" ? [] : [{ text: content }]),
    ...toolCalls.map((call) => ({
      functionCall: { name: call.name, args: argumentsOf(call) },
      thoughtSignature: NO_SIGNATURE,
    })),
  ];
}

/** A response is an object here; text becomes one. */
function toResponse(content: string): Json {
  try {
    const value: unknown = JSON.parse(content);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  } catch {
    // Most results are plain text.
  }
  return { result: content };
}

const REASONS: Readonly<Record<string, FinishReason>> = {
  STOP: "stop",
  MAX_TOKENS: "length",
  SAFETY: "content_filter",
  RECITATION: "content_filter",
  LANGUAGE: "content_filter",
  BLOCKLIST: "content_filter",
  PROHIBITED_CONTENT: "content_filter",
  SPII: "content_filter",
  IMAGE_SAFETY: "content_filter",
};

/** The model tried to call a tool and could not write the call: no answer, and the next try may be one. */
const MALFORMED = new Set(["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"]);

/** There is no last word: the body ends. */
function readAnswer({ id, choice }: GenerationRequest): AnswerReader {
  let calls = 0;
  return ({ data }) => {
    const chunk = parseData(data);
    if (chunk["error"] !== undefined) {
      const error = fields(chunk["error"]);
      return [{ kind: "problem", problem: toProblem(statusIn(error["code"]), error) }];
    }
    const pieces: Piece[] = [];
    if (fields(chunk["promptFeedback"])["blockReason"] !== undefined) {
      pieces.push({ kind: "reason", reason: "content_filter" });
    }
    const { content, finishReason } = fields(items(chunk["candidates"])[0]);
    for (const each of items(fields(content)["parts"])) {
      const { text, thought, functionCall } = fields(each);
      if (functionCall !== undefined) {
        const call = fields(functionCall);
        // Calls have no ids, or not always: results find their call by ours.
        const opening = {
          id: textOf(call["id"]) || `call_${id}_${choice}_${calls}`,
          name: textOf(call["name"]),
        };
        const json = JSON.stringify(fields(call["args"]));
        pieces.push({ kind: "tool_call", index: calls, opening, arguments: json });
        calls += 1;
      } else if (thought !== true && textOf(text) !== "") {
        pieces.push({ kind: "text", text: textOf(text) });
      }
    }
    if (chunk["usageMetadata"] !== undefined) {
      pieces.push({ kind: "counts", counts: countsOf(fields(chunk["usageMetadata"])) });
    }
    if (typeof finishReason === "string") {
      if (MALFORMED.has(finishReason)) {
        return [...pieces, { kind: "problem", problem: { code: "backend_failed", word: finishReason } }];
      }
      const reason = REASONS[finishReason] ?? "stop";
      // An answer that ends with calls says STOP as well.
      pieces.push({ kind: "reason", reason: reason === "stop" && calls > 0 ? "tool_calls" : reason });
    }
    return pieces;
  };
}

/** Thoughts are billed as part of the answer, and so they count. */
function countsOf(usage: Json) {
  const { candidatesTokenCount: said, thoughtsTokenCount: thought = 0 } = usage;
  const whole = typeof said === "number" && said >= 0 && typeof thought === "number" && thought >= 0;
  return {
    prompt: usage["promptTokenCount"],
    cached: usage["cachedContentTokenCount"],
    completion: whole ? said + thought : undefined,
  };
}

/** https://ai.google.dev/gemini-api/docs/troubleshooting: gRPC's words, and how long to wait among the details. */
function toProblem(status: number, error: Json): Problem {
  const problem = problemOf(status, error["status"], WORDS);
  const info = items(error["details"])
    .map(fields)
    .find((detail) => textOf(detail["@type"]).endsWith("google.rpc.RetryInfo"));
  const [, seconds] = /^(\d{1,6}(?:\.\d{1,9})?)s$/.exec(textOf(info?.["retryDelay"])) ?? [];
  return seconds === undefined ? problem : { ...problem, retryAfterMs: Number(seconds) * 1000 };
}

const WORDS: Readonly<Record<string, ErrorCode>> = {
  INVALID_ARGUMENT: "invalid_request",
  FAILED_PRECONDITION: "backend_refused",
  UNAUTHENTICATED: "backend_refused",
  PERMISSION_DENIED: "backend_refused",
  NOT_FOUND: "backend_refused",
  RESOURCE_EXHAUSTED: "overloaded",
  INTERNAL: "backend_failed",
  UNAVAILABLE: "backend_failed",
  DEADLINE_EXCEEDED: "backend_failed",
};
