/** The one seam of the house: local, cloud, routed and metered generators all look like this. */
import type { TokenId } from "./brand.ts";
import type { ModelCard } from "./model.ts";
import type { GenerationRequest } from "./request.ts";

export interface TokenAlternative {
  readonly token: TokenId;
  /** The token alone as text; a part of a character shows as U+FFFD. */
  readonly text: string;
  /** The token's own bytes. */
  readonly bytes: readonly number[];
  /** Natural logarithm, of the model's distribution before temperature and penalties. */
  readonly logprob: number;
}

export interface TokenLogprob extends TokenAlternative {
  /**
   * Where its text begins, in characters (not UTF-16 units) of the answer's text, or of the prompt's in a `prompt` event.
   * Never falls from token to token, and is at most the text's length; part of a character begins where that does.
   */
  readonly offset: number;
  /** The most likely tokens, best first; as many as asked for. */
  readonly top: readonly TokenAlternative[];
}

/**
 * `stop`: an end token, a stop string or a stop token; `length`: max_tokens or the context length. Of remote backends also
 * `tool_calls`: the model waits for results of its calls; `content_filter`: the backend held back the rest.
 */
export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter";

export interface Usage {
  readonly promptTokens: number;
  /** Prompt tokens that were not computed again. */
  readonly cachedTokens: number;
  /**
   * All that were drawn, with the end token or stop token behind the text: each costs a step, and vLLM counts so too
   * (the length of its `token_ids`). Log-probabilities are told of the text's tokens, so there may be one fewer of them.
   */
  readonly completionTokens: number;
  /** Waiting for a slot, in ms. */
  readonly queueMs: number;
  /** From the slot to the first token, in ms. */
  readonly prefillMs: number;
  /** From the first token to the last, in ms. */
  readonly decodeMs: number;
  /** Set where a remote backend gave no counts that can be true: they are then made of lengths. */
  readonly estimated?: true;
}

export type GenerationEvent =
  /** Always first: the request is admitted and its prompt is within the context. */
  | {
      readonly kind: "started";
      /** Of a remote backend made of the prompt's length, as long as it has not said its count. */
      readonly promptTokens: number;
      /** Set where the model's chat template writes the same prompt without the request's tools. */
      readonly toolsIgnored?: true;
    }
  /** Only with `echo`: the whole prompt, once. The first token's log-probability is null: nothing stands before it. */
  | {
      readonly kind: "prompt";
      readonly text: string;
      readonly tokens: readonly TokenId[];
      readonly logprobs: readonly (TokenLogprob | null)[] | undefined;
    }
  /**
   * Some of the answer. `tokens` are those whose text this event completes; text may be empty (half a character). Remote
   * backends do not tell theirs: there the list is empty.
   */
  | {
      readonly kind: "text";
      readonly text: string;
      readonly tokens: readonly TokenId[];
      readonly logprobs: readonly TokenLogprob[];
    }
  /** Part of a call of a tool. Calls are counted from 0; the parts of two calls may alternate. */
  | {
      readonly kind: "tool_call";
      readonly index: number;
      /** In the call's first event, and only there. */
      readonly opening: { readonly id: string; readonly name: string } | undefined;
      /** The next part of the arguments' JSON; may be empty. */
      readonly arguments: string;
    }
  /** Always last. */
  | { readonly kind: "finished"; readonly reason: FinishReason; readonly usage: Usage };

export interface Generator {
  /**
   * Errors are WeirErrors, thrown by the iterator; those of admission (too long, full, unknown model) before `started`.
   * Aborting the signal, or leaving the iterator, ends the work within one step.
   */
  generate(request: GenerationRequest, signal: AbortSignal): AsyncIterable<GenerationEvent>;
}

/** What the server needs besides generation: which models there are, and their tokenizers. */
export interface ModelDirectory {
  /** The default model first. */
  list(): readonly ModelCard[];
  find(name: string): ModelCard | undefined;
  tokenize(model: string, text: string, addSpecial: boolean): Promise<readonly TokenId[]>;
  detokenize(model: string, tokens: readonly TokenId[]): Promise<string>;
}
