/** What passed the gate. Past it nobody checks again, because the type says it is done. */
import type { TokenId } from "./brand.ts";

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON as text, as the model wrote it. */
  readonly arguments: string;
}

export interface ChatMessage {
  readonly role: "system" | "developer" | "user" | "assistant" | "tool";
  readonly content: string;
  readonly name?: string;
  readonly toolCalls?: readonly ToolCall[];
  readonly toolCallId?: string;
}

/** The choices of a request share the prompt object: what is computed of it is kept by its identity. */
export type Prompt =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "tokens"; readonly tokens: readonly TokenId[] }
  | { readonly kind: "chat"; readonly messages: readonly ChatMessage[]; readonly tools?: readonly unknown[] };

/**
 * Texts longer than this for each token of a model's context are refused before they are cut into tokens, which takes
 * up to 6 us a character on the thread that all streams share. Prose and code have 3 to 6 characters a token; only long
 * runs of one character have more than this.
 */
export const CHARACTERS_PER_TOKEN_MAX = 8;

/** How a token is drawn from a row of logits. Order: logit_bias, penalties, temperature, top_k, top_p, min_p, draw. */
export interface Sampling {
  /** 0 = greedy (the first of the largest logits). */
  readonly temperature: number;
  /** In (0, 1]; 1 = off. */
  readonly topP: number;
  /** 0 = off. */
  readonly topK: number;
  /** In [0, 1]; keeps tokens with at least this share of the best one's probability; 0 = off. */
  readonly minP: number;
  /** > 0; 1 = off; over prompt and answer (Keskar et al. 2019, CTRL). */
  readonly repetitionPenalty: number;
  /** OpenAI's: taken once off each token that the answer already has. */
  readonly presencePenalty: number;
  /** OpenAI's: taken off per occurrence in the answer. */
  readonly frequencyPenalty: number;
  readonly logitBias: readonly (readonly [TokenId, number])[];
  /** Whole number in [0, 2^53). A draw depends on seed and position only. */
  readonly seed: number;
}

export interface GenerationRequest {
  /** `x-request-id`; one request may hold several generations (n, several prompts): each has its own `choice`. */
  readonly id: string;
  readonly choice: number;
  readonly model: string;
  readonly prompt: Prompt;
  readonly sampling: Sampling;
  /** Answer tokens at most; undefined = up to the model's context length. 0 = only score the prompt. */
  readonly maxTokens: number | undefined;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  /** The answer ends before the first of these; none of it is ever sent. */
  readonly stop: readonly string[];
  readonly stopTokenIds: readonly TokenId[];
  /** Alternatives to report per token; undefined = no log-probabilities at all, 0 = only the chosen token's. */
  readonly logprobs: number | undefined;
  /** Report the prompt (text, tokens and, with `logprobs`, its log-probabilities) as a `prompt` event. */
  readonly echo: boolean;
  /** Smaller runs sooner (vLLM's convention); default 0. */
  readonly priority: number;
  /** Undefined = the server's default. Waiting and running together, in ms. */
  readonly timeoutMs: number | undefined;
}
