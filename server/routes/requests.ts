/** From a parsed body to what passes the gate: one GenerationRequest a choice. What needs the model's card is checked here. */
import { tokenId } from "../../engine/core/brand.ts";
import { WeirError } from "../../engine/core/errors.ts";
import type { ModelDirectory } from "../../engine/core/generator.ts";
import type { ModelCard } from "../../engine/core/model.ts";
import type { ChatMessage, GenerationRequest, Prompt, Sampling } from "../../engine/core/request.ts";
import type { ChatBody, ChatBodyMessage } from "../schema/chat.ts";
import type { CompletionBody, CompletionPrompt } from "../schema/completions.ts";
import { type SharedBody, streamOptions } from "../schema/fields.ts";
import { parseBody } from "../schema/parse.ts";

const SEED_RANGE = 2 ** 53;
const TOP_P_MIN = 1e-9;

export interface RequestContext {
  readonly id: string;
  readonly randomSeed: () => number;
  /** Prompts times n in one request. */
  readonly generationsMax: number;
}

/** What the requests are for: an installed model, or one of another server, of which nothing more is known here. */
export interface ModelTarget {
  /** As clients may name it. */
  readonly name: string;
  readonly card: ModelCard | undefined;
}

export function findModel(models: ModelDirectory, name: string): ModelCard {
  const card = models.find(name);
  if (card !== undefined) return card;
  const known = models.list().map((model) => model.name);
  const some = known.slice(0, 5).join(", ") + (known.length > 5 ? ", ..." : "");
  const has = known.length === 0 ? "it has none" : `it has ${some}`;
  throw new WeirError(
    "model_not_found",
    `The model '${name.slice(0, 100)}' does not exist on this server; ${has}. See GET /v1/models.`,
    { param: "model" },
  );
}

/** In the order of the choices' indices: prompt 0's n choices first. */
export function completionRequests(
  body: CompletionBody,
  target: ModelTarget,
  context: RequestContext,
): readonly GenerationRequest[] {
  if (body.best_of !== undefined && body.best_of !== body.n) {
    throw refused(
      "best_of",
      `only the value of 'n' (${body.n}) is supported yet by this server: all answers are returned`,
    );
  }
  if (body.max_tokens === 0 && !body.echo) {
    throw refused("max_tokens", "0 is only possible with echo: true, which scores the prompt");
  }
  if (body.min_tokens > body.max_tokens)
    throw refused("min_tokens", `it is more than max_tokens (${body.max_tokens})`);
  const prompts = body.prompt.map((prompt, index) =>
    toPrompt(prompt, target.card, body.prompt.length > 1 ? index : undefined),
  );
  return spread(prompts, body, target, context, {
    maxTokens: body.max_tokens,
    logprobs: body.logprobs,
    echo: body.echo || body.return_token_ids,
  });
}

export function chatRequests(
  body: ChatBody,
  target: ModelTarget,
  context: RequestContext,
): readonly GenerationRequest[] {
  if (target.card?.hasChatTemplate === false) {
    throw refused("model", `'${target.name}' has no chat template; send its prompt to /v1/completions`);
  }
  if (body.top_logprobs !== undefined && !body.logprobs)
    throw refused("top_logprobs", "it needs logprobs: true");
  const maxTokens = body.max_completion_tokens ?? body.max_tokens;
  if (maxTokens !== undefined && body.min_tokens > maxTokens) {
    throw refused("min_tokens", `it is more than the answer may have (${maxTokens})`);
  }
  const messages = body.messages.map(toMessage);
  const tools = body.tool_choice === "auto" && body.tools.length > 0 ? { tools: body.tools } : {};
  return spread([{ kind: "chat", messages, ...tools }], body, target, context, {
    maxTokens,
    logprobs: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
    echo: body.return_token_ids,
  });
}

/** `stream_options` counts only when streaming: OpenAI's own client sends it with stream: false too. */
export function readStreamOptions(body: SharedBody): { includeUsage: boolean; obfuscate: boolean } {
  if (!body.stream || body.stream_options == null) return { includeUsage: false, obfuscate: false };
  try {
    const options = parseBody(streamOptions, body.stream_options);
    return { includeUsage: options.include_usage ?? false, obfuscate: options.include_obfuscation ?? false };
  } catch (error) {
    if (!(error instanceof WeirError)) throw error;
    const param = error.param === undefined ? "stream_options" : `stream_options.${error.param}`;
    throw new WeirError("invalid_request", error.message.replace(`'${error.param}'`, `'${param}'`), {
      param,
    });
  }
}

interface Shape {
  readonly maxTokens: number | undefined;
  readonly logprobs: number | undefined;
  readonly echo: boolean;
}

function spread(
  prompts: readonly Prompt[],
  body: SharedBody,
  { name, card }: ModelTarget,
  context: RequestContext,
  shape: Shape,
): readonly GenerationRequest[] {
  if (prompts.length * body.n > context.generationsMax) {
    throw refused(
      "n",
      `prompts times n is ${prompts.length * body.n}, this server takes ${context.generationsMax} in one request`,
    );
  }
  const sampling = toSampling(body, card);
  const stopTokenIds = body.stop_token_ids.map((id, index) =>
    inVocabulary(id, card, `stop_token_ids.${index}`),
  );
  const stop = typeof body.stop === "string" ? [body.stop] : body.stop;
  // With a client's seed every prompt of a list gets the answer that it would get alone.
  const seedOf = (i: number): number =>
    body.seed === undefined ? context.randomSeed() : (seedNumber(body.seed) + i) % SEED_RANGE;
  return prompts.flatMap((prompt, p) =>
    Array.from({ length: body.n }, (_, i) => ({
      id: context.id,
      choice: p * body.n + i,
      model: name,
      prompt,
      sampling: { ...sampling, seed: seedOf(i) },
      ...shape,
      minTokens: body.min_tokens,
      ignoreEos: body.ignore_eos,
      stop,
      stopTokenIds,
      priority: body.priority,
      timeoutMs: undefined,
    })),
  );
}

function toSampling(body: SharedBody, card: ModelCard | undefined): Omit<Sampling, "seed"> {
  return {
    temperature: body.temperature,
    topP: Math.max(body.top_p, TOP_P_MIN), // OpenAI allows 0, which leaves the most likely token
    topK: Math.max(body.top_k, 0),
    minP: body.min_p,
    repetitionPenalty: body.repetition_penalty,
    presencePenalty: body.presence_penalty,
    frequencyPenalty: body.frequency_penalty,
    logitBias: Object.entries(body.logit_bias).map(([key, bias]) => {
      const id = /^\d{1,10}$/.test(key) ? Number(key) : -1;
      return [inVocabulary(id, card, `logit_bias.${key.slice(0, 20)}`), bias] as const;
    }),
  };
}

/** OpenAI's seeds are 64-bit and may be negative; ours are whole numbers in [0, 2^53). */
const seedNumber = (seed: number): number => Number(BigInt.asUintN(53, BigInt(seed)));

/** Another server's vocabulary is its own matter. */
function inVocabulary(id: number, card: ModelCard | undefined, param: string) {
  if (card === undefined) return tokenId(id);
  const { vocabSize } = card.geometry;
  if (id >= 0 && id < vocabSize) return tokenId(id);
  throw refused(param, `not a token of '${card.name}', whose ids are 0 to ${vocabSize - 1}`);
}

function toPrompt(prompt: CompletionPrompt, card: ModelCard | undefined, index: number | undefined): Prompt {
  if (prompt.kind === "text") return prompt;
  const vocabSize = card?.geometry.vocabSize ?? Number.POSITIVE_INFINITY;
  const wrong = prompt.tokens.findIndex((id) => id >= vocabSize);
  if (wrong >= 0)
    inVocabulary(vocabSize, card, ["prompt", ...(index === undefined ? [] : [index]), wrong].join("."));
  return { kind: "tokens", tokens: prompt.tokens.map(tokenId) };
}

function toMessage(message: ChatBodyMessage): ChatMessage {
  const named = "name" in message && message.name != null ? { name: message.name } : {};
  switch (message.role) {
    case "assistant": {
      const calls = (message.tool_calls ?? []).map((call) => ({ id: call.id, ...call.function }));
      const legacy = message.function_call == null ? [] : [{ id: "", ...message.function_call }];
      const toolCalls = [...calls, ...legacy];
      const content = message.content ?? message.refusal ?? "";
      return { role: "assistant", content, ...named, ...(toolCalls.length === 0 ? {} : { toolCalls }) };
    }
    case "tool":
      return { role: "tool", content: message.content, toolCallId: message.tool_call_id };
    case "function":
      return { role: "tool", content: message.content ?? "", ...named };
    default:
      return { role: message.role, content: message.content, ...named };
  }
}

const refused = (param: string, why: string): WeirError =>
  new WeirError("invalid_request", `Invalid value for '${param}': ${why}.`, { param });
