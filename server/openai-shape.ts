/** OpenAI's JSON, built from what the house says: errors, usage, log-probabilities and whole answers. */
import { asWeirError, ERRORS, type WeirError } from "../engine/core/errors.ts";
import type { FinishReason, TokenAlternative, TokenLogprob, Usage } from "../engine/core/generator.ts";
import type { ModelCard } from "../engine/core/model.ts";
import type { RemoteModel } from "./ports.ts";

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

export function errorBody(error: WeirError): ErrorBody {
  const { type } = ERRORS[error.code];
  return { error: { message: error.message, type, param: error.param ?? null, code: error.code } };
}

/** When to come back: OpenAI's clients read `retry-after-ms` first, others `retry-after` in seconds. */
export function errorHeaders(error: WeirError): Record<string, string> {
  const headers: Record<string, string> = { "x-should-retry": String(ERRORS[error.code].retryable) };
  if (error.retryAfterMs !== undefined) {
    headers["retry-after-ms"] = String(Math.ceil(error.retryAfterMs));
    headers["retry-after"] = String(Math.ceil(error.retryAfterMs / 1000));
  }
  if (error.code === "invalid_api_key") headers["www-authenticate"] = "Bearer";
  return headers;
}

/** An error in a stream that has begun: OpenAI's clients throw on a chunk with an `error` key. */
export const errorEvent = (thrown: unknown): string =>
  `data: ${JSON.stringify(errorBody(asWeirError(thrown)))}\n\n`;

export interface AnswerHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
}

type Counts = Pick<Usage, "promptTokens" | "cachedTokens" | "completionTokens">;

export const usageBody = ({ promptTokens, cachedTokens, completionTokens }: Counts) => ({
  prompt_tokens: promptTokens,
  completion_tokens: completionTokens,
  total_tokens: promptTokens + completionTokens,
  prompt_tokens_details: { cached_tokens: cachedTokens },
});

/** Limits of JSON: minus infinity (a masked token) has OpenAI's own stand-in. */
const finite = (logprob: number): number => (Number.isFinite(logprob) ? logprob : -9999);

const chatAlternative = (token: TokenAlternative) => ({
  token: token.text,
  logprob: finite(token.logprob),
  bytes: token.bytes,
});

/** One entry of a chat choice's `logprobs.content`. */
export const chatLogprob = (token: TokenLogprob) => ({
  ...chatAlternative(token),
  top_logprobs: token.top.map(chatAlternative),
});

export interface LegacyLogprobs {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  readonly text_offset: number[];
}

/** The completions format for an answer's tokens; its text begins behind `before` characters of the choice's text. */
export function legacyLogprobs(logprobs: readonly TokenLogprob[], before: number): LegacyLogprobs {
  return {
    tokens: logprobs.map(legacyName),
    token_logprobs: logprobs.map(({ logprob }) => finite(logprob)),
    top_logprobs: logprobs.map(legacyTop),
    text_offset: logprobs.map(({ offset }) => before + offset),
  };
}

/** The same for a prompt. Its first token, which has no log-probability, has the text before the second one. */
export function legacyPromptLogprobs(
  text: string,
  logprobs: readonly (TokenLogprob | null)[],
): LegacyLogprobs {
  const rest = logprobs.filter((token) => token !== null);
  if (rest.length === logprobs.length) return legacyLogprobs(rest, 0);
  const first = [...text].slice(0, rest[0]?.offset).join("");
  const { tokens, token_logprobs, top_logprobs, text_offset } = legacyLogprobs(rest, 0);
  return {
    tokens: [first, ...tokens],
    token_logprobs: [null, ...token_logprobs],
    top_logprobs: [null, ...top_logprobs],
    text_offset: [0, ...text_offset],
  };
}

/** The chosen token is always in the map, as in OpenAI's: it may have one entry more than was asked for. */
function legacyTop(token: TokenLogprob): Record<string, number> {
  const entries = [...token.top, token].map((entry) => [legacyName(entry), finite(entry.logprob)] as const);
  return Object.fromEntries(entries.reverse());
}

/** A token that is only part of a character is named by its bytes, so that two such tokens stay two entries. */
function legacyName(token: TokenAlternative): string {
  if (!token.text.includes("\uFFFD")) return token.text;
  return `bytes:${token.bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
}

/** Not UTF-16 units. */
export function characters(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** Completions know no tools: an answer that ended with a call has ended. */
export const legacyReason = (reason: FinishReason): FinishReason =>
  reason === "tool_calls" ? "stop" : reason;

export interface CompletionChoice {
  readonly index: number;
  readonly text: string;
  readonly logprobs: LegacyLogprobs | null;
  readonly finish_reason: FinishReason;
  readonly token_ids?: readonly number[];
  readonly prompt_token_ids?: readonly number[];
}

export const completionAnswer = (head: AnswerHead, choices: readonly CompletionChoice[], usage: Counts) => ({
  id: head.id,
  object: "text_completion" as const,
  created: head.created,
  model: head.model,
  choices,
  usage: usageBody(usage),
});

export interface ChatToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: string };
}

export interface ChatChoice {
  readonly index: number;
  readonly message: {
    readonly role: "assistant";
    /** Null where the answer is only calls of tools. */
    readonly content: string | null;
    readonly refusal: null;
    readonly tool_calls?: readonly ChatToolCall[];
  };
  readonly logprobs: { readonly content: readonly object[]; readonly refusal: null } | null;
  readonly finish_reason: FinishReason;
  readonly token_ids?: readonly number[];
}

export const chatAnswer = (
  head: AnswerHead,
  choices: readonly ChatChoice[],
  usage: Counts,
  promptTokenIds: readonly number[] | undefined,
) => ({
  id: head.id,
  object: "chat.completion" as const,
  created: head.created,
  model: head.model,
  choices,
  usage: usageBody(usage),
  ...(promptTokenIds === undefined ? {} : { prompt_token_ids: promptTokenIds }),
});

/** A model for /v1/models; everything beyond OpenAI's four fields is under `meta`. */
export const modelBody = (card: ModelCard) => ({
  id: card.name,
  object: "model" as const,
  created: card.createdAt,
  owned_by: "weir",
  meta: {
    n_vocab: card.geometry.vocabSize,
    context_length: card.contextLength,
    n_embd: card.geometry.hidden,
    n_layer: card.geometry.layers,
    size: card.weightBytes,
    weights: card.weights,
    kv: card.kv,
    has_chat_template: card.hasChatTemplate,
  },
});

export const remoteModelBody = ({ id, backend, zone }: RemoteModel, created: number) => ({
  id,
  object: "model" as const,
  created,
  owned_by: backend,
  meta: { backend, zone },
});
