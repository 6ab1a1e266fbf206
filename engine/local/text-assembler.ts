/**
 * Sampled tokens -> the text events of one answer: characters whole, stop strings cut, and every token told together
 * with the text that it completes. Tokens of a stop string are not told.
 */
import type { TokenId } from "../core/brand.ts";
import type { GenerationEvent, TokenAlternative, TokenLogprob } from "../core/generator.ts";
import type { ScoredToken } from "../core/step.ts";
import { Detokenizer, type DetokenizerOptions, describeToken } from "./detokenizer.ts";
import { StopStrings } from "./stop-strings.ts";

export type TextEvent = Extract<GenerationEvent, { readonly kind: "text" }>;

export interface AssemblerOptions extends DetokenizerOptions {
  readonly stop: readonly string[];
  /**
   * The text of so many first tokens completes no stop string; one that a later token completes may begin in it
   * (as in vLLM). Default 0.
   */
  readonly minTokens?: number;
}

export interface Assembled {
  /** Undefined where this token completed nothing. */
  readonly event: TextEvent | undefined;
  /** True once a stop string is complete: the answer ends here. */
  readonly stopped: boolean;
}

/** A token that was not told yet. Offsets are in UTF-16 units of the answer's text. */
interface Waiting {
  readonly token: TokenId;
  readonly logprob: TokenLogprob | undefined;
  /** Where its text starts. */
  readonly start: number;
  /** Where its text ends; undefined while its last character is not whole. */
  end: number | undefined;
}

export class TextAssembler {
  readonly #tokenBytes: (token: TokenId) => Uint8Array;
  readonly #detokenizer: Detokenizer;
  readonly #stops: StopStrings;
  readonly #minTokens: number;
  readonly #waiting: Waiting[] = [];
  /** Units of text decoded, and emitted, so far. */
  #decoded = 0;
  /** The same in characters. */
  #characters = 0;
  #emitted = 0;
  #tokens = 0;

  constructor(tokenBytes: (token: TokenId) => Uint8Array, options: AssemblerOptions) {
    this.#tokenBytes = tokenBytes;
    this.#detokenizer = new Detokenizer(tokenBytes, options);
    this.#stops = new StopStrings(options.stop);
    this.#minTokens = options.minTokens ?? 0;
  }

  push(token: TokenId, scored: ScoredToken | undefined): Assembled {
    this.#tokens += 1;
    const text = this.#detokenizer.push(token);
    const before = this.#detokenizer.brokenBefore;
    const logprob = scored && tokenLogprob(this.#tokenBytes, scored, this.#characters + before);
    this.#waiting.push({ token, logprob, start: this.#decoded + before, end: undefined });
    return this.#pass(text);
  }

  /** The answer ends here: text and tokens that still waited. Undefined where there are none. */
  flush(): TextEvent | undefined {
    const { event, stopped } = this.#pass(this.#detokenizer.flush());
    if (stopped) return event;
    const rest = this.#stops.flush();
    const tokens = this.#waiting.splice(0);
    return eventOf(
      (event?.text ?? "") + rest,
      [...(event?.tokens ?? []), ...tokens.map(({ token }) => token)],
      [...(event?.logprobs ?? []), ...tokens.flatMap(({ logprob }) => logprob ?? [])],
    );
  }

  #pass(text: string): Assembled {
    this.#markEnds(text);
    this.#decoded += text.length;
    this.#characters += characters(text);
    const { emit, stopped } = this.#stops.push(text, this.#tokens > this.#minTokens);
    this.#emitted += emit.length;
    const told = stopped
      ? this.#waiting.splice(0).filter(({ start }) => start < this.#emitted)
      : this.#waiting.splice(0, this.#toldCount());
    const tokens = told.map(({ token }) => token);
    return {
      event: eventOf(
        emit,
        tokens,
        told.flatMap(({ logprob }) => logprob ?? []),
      ),
      stopped,
    };
  }

  /** Tokens that waited for a character share the first one of the new text; the latest token ends where the text does. */
  #markEnds(text: string): void {
    const first =
      this.#decoded + (text === "" ? 0 : String.fromCodePoint(text.codePointAt(0) as number).length);
    const unfinished = this.#detokenizer.pendingBytes > 0;
    for (let i = this.#waiting.length - 1; i >= 0; i -= 1) {
      const waiting = this.#waiting[i] as Waiting;
      if (waiting.end !== undefined) break;
      const latest = i === this.#waiting.length - 1;
      if (latest && !unfinished) waiting.end = this.#decoded + text.length;
      if (!latest && (text !== "" || !unfinished)) waiting.end = first;
    }
  }

  /** Tokens are told in order, so one that waits holds those behind it. */
  #toldCount(): number {
    const first = this.#waiting.findIndex(({ end }) => end === undefined || end > this.#emitted);
    return first === -1 ? this.#waiting.length : first;
  }
}

function eventOf(
  text: string,
  tokens: readonly TokenId[],
  logprobs: readonly TokenLogprob[],
): TextEvent | undefined {
  return text === "" && tokens.length === 0 ? undefined : { kind: "text", text, tokens, logprobs };
}

/** Not UTF-16 units. */
function characters(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** OpenAI's value for "very unlikely"; JSON has no -Infinity. */
const LOGPROB_MIN = -9999;

/** `offset`: see TokenLogprob. */
export function tokenLogprob(
  tokenBytes: (token: TokenId) => Uint8Array,
  scored: ScoredToken,
  offset: number,
): TokenLogprob {
  const describe = (token: TokenId, logprob: number): TokenAlternative => ({
    ...describeToken(tokenBytes, token),
    logprob: Math.max(LOGPROB_MIN, logprob),
  });
  return {
    ...describe(scored.token, scored.logprob),
    offset,
    top: scored.top.map(({ token, logprob }) => describe(token, logprob)),
  };
}
