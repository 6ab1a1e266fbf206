/** The three vendors' streams as server-sent events, written from their documentation and not from weir's readers. */
import type { DoubleAnswer } from "./script.ts";

export type Dialect = "openai" | "anthropic" | "gemini";

export const dialectOf = (url: string): Dialect | undefined => {
  if (url.includes("/chat/completions") || url.endsWith("/completions")) return "openai";
  if (url.endsWith("/v1/messages")) return "anthropic";
  return url.includes(":streamGenerateContent") ? "gemini" : undefined;
};

const data = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
const named = (value: { readonly type: string }): string => `event: ${value.type}\n${data(value)}`;

export function eventsOf(dialect: Dialect, answer: DoubleAnswer, url: string): readonly string[] {
  switch (dialect) {
    case "openai":
      return url.includes("/chat/completions") ? openaiChat(answer) : openaiText(answer);
    case "anthropic":
      return anthropic(answer);
    case "gemini":
      return gemini(answer);
  }
}

/** In the middle of a stream. */
export function errorOf(dialect: Dialect): string {
  switch (dialect) {
    case "openai":
      return data({ error: { message: "CANARY upstream text", type: "server_error", code: "server_error" } });
    case "anthropic":
      return named({
        type: "error",
        ...{ error: { type: "overloaded_error", message: "CANARY upstream text" } },
      });
    case "gemini":
      return data({ error: { code: 503, message: "CANARY upstream text", status: "UNAVAILABLE" } });
  }
}

/** https://platform.openai.com/docs/api-reference/chat-streaming */
function openaiChat({ texts = [], toolCalls = [], finish, usage }: DoubleAnswer): readonly string[] {
  const chunk = (delta: object, reason: string | null = null) =>
    data({
      id: "chatcmpl-1",
      object: "chat.completion.chunk",
      created: 1,
      model: "double",
      choices: [{ index: 0, delta, finish_reason: reason }],
    });
  const honest = {
    prompt_tokens: 11,
    completion_tokens: 7,
    total_tokens: 18,
    prompt_tokens_details: { cached_tokens: 3 },
  };
  return [
    chunk({ role: "assistant", content: "" }),
    ...texts.map((content) => chunk({ content })),
    ...toolCalls.flatMap((call, index) => [
      chunk({
        tool_calls: [{ index, id: call.id, type: "function", function: { name: call.name, arguments: "" } }],
      }),
      ...call.arguments.map((part) => chunk({ tool_calls: [{ index, function: { arguments: part } }] })),
    ]),
    chunk({}, finish ?? (toolCalls.length > 0 ? "tool_calls" : "stop")),
    ...(usage === null
      ? []
      : [data({ id: "chatcmpl-1", object: "chat.completion.chunk", choices: [], usage: usage ?? honest })]),
    "data: [DONE]\n\n",
  ];
}

function openaiText({ texts = [], finish, usage }: DoubleAnswer): readonly string[] {
  const chunk = (text: string, reason: string | null = null) =>
    data({
      id: "cmpl-1",
      object: "text_completion",
      choices: [{ index: 0, text, logprobs: null, finish_reason: reason }],
    });
  const honest = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 };
  return [
    ...texts.map((text) => chunk(text)),
    chunk("", finish ?? "stop"),
    ...(usage === null ? [] : [data({ id: "cmpl-1", choices: [], usage: usage ?? honest })]),
    "data: [DONE]\n\n",
  ];
}

/** https://platform.claude.com/docs/en/build-with-claude/streaming */
function anthropic({ texts = [], toolCalls = [], finish, usage }: DoubleAnswer): readonly string[] {
  const start = { input_tokens: 6, cache_read_input_tokens: 3, cache_creation_input_tokens: 2 };
  const block = (index: number, content: object, deltas: readonly object[]) => [
    named({ type: "content_block_start", ...{ index, content_block: content } }),
    named({ type: "ping" }),
    ...deltas.map((delta) => named({ type: "content_block_delta", ...{ index, delta } })),
    named({ type: "content_block_stop", ...{ index } }),
  ];
  const textBlocks =
    texts.length === 0
      ? []
      : block(
          0,
          { type: "text", text: "" },
          texts.map((text) => ({ type: "text_delta", text })),
        );
  const first = texts.length === 0 ? 0 : 1;
  return [
    named({
      type: "message_start",
      ...{
        message: {
          id: "msg_1",
          type: "message",
          role: "assistant",
          content: [],
          ...(usage === null ? {} : { usage: { output_tokens: 1, ...(usage ?? start) } }),
        },
      },
    }),
    ...textBlocks,
    ...toolCalls.flatMap((call, index) =>
      block(
        first + index,
        { type: "tool_use", id: call.id, name: call.name, input: {} },
        call.arguments.map((part) => ({ type: "input_json_delta", partial_json: part })),
      ),
    ),
    named({
      type: "message_delta",
      ...{
        delta: { stop_reason: finish ?? (toolCalls.length > 0 ? "tool_use" : "end_turn") },
        ...(usage === null ? {} : { usage: usage ?? { output_tokens: 7 } }),
      },
    }),
    named({ type: "message_stop" }),
  ];
}

/** https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent */
function gemini({ texts = [], toolCalls = [], finish, usage }: DoubleAnswer): readonly string[] {
  const parts = [
    ...texts.map((text) => ({ text })),
    ...toolCalls.map((call) => ({
      functionCall: { name: call.name, args: JSON.parse(call.arguments.join("")) },
      thoughtSignature: "c2lnbmF0dXJl",
    })),
  ];
  const honest = {
    promptTokenCount: 11,
    candidatesTokenCount: 5,
    thoughtsTokenCount: 2,
    cachedContentTokenCount: 3,
    totalTokenCount: 18,
  };
  const chunk = (part: object | undefined, end: object = {}) =>
    data({
      candidates: [{ index: 0, content: { role: "model", parts: part === undefined ? [] : [part] }, ...end }],
      ...("finishReason" in end && usage !== null ? { usageMetadata: usage ?? honest } : {}),
      modelVersion: "double",
    });
  return [
    chunk({ text: "a thought", thought: true }),
    ...parts.map((part) => chunk(part)),
    chunk(undefined, { finishReason: finish ?? "STOP" }),
  ];
}
