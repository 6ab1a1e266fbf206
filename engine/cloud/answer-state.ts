/**
 * What is known of one remote answer while it comes: why it ended, and how many tokens it took. Pure. Tokens are charged to
 * a key, and counted in metrics, so a backend's counts are believed only as far as they can be true.
 */
import type { FinishReason, Usage } from "../core/generator.ts";
import type { Counts } from "./providers/provider.ts";

/** A token has at least a byte; chat templates, and vendors' own instructions for tools, add some hundreds to what was sent. */
const TEMPLATE_TOKENS = 1024;
/** What the frames of calls and the end of an answer add to what was said. */
const FRAME_TOKENS = 64;
/** Thoughts count too, and are mostly not told. But drawing them takes time, and the fastest services do some 3 a ms. */
const THOUGHT_TOKENS_PER_MS = 5;
/** As long as the longest answers that vendors allow. */
const THOUGHT_TOKENS_MAX = 131_072;
/** Of English prose and code; only for backends that tell nothing. */
const BYTES_PER_TOKEN = 4;

export interface AnswerBounds {
  /** Of all that was sent. */
  readonly promptBytes: number;
  /** What was asked for; undefined: no bound. */
  readonly maxTokens: number | undefined;
}

export interface AnswerTimes {
  readonly startedAt: number;
  readonly firstAt: number | undefined;
  readonly endedAt: number;
}

const estimateTokens = (bytes: number): number => Math.ceil(bytes / BYTES_PER_TOKEN);

export class AnswerState {
  readonly #bounds: AnswerBounds;
  #answerBytes = 0;
  #reason: FinishReason | undefined;
  #prompt: number | undefined;
  #cached: number | undefined;
  #completion: number | undefined;

  constructor(bounds: AnswerBounds) {
    this.#bounds = bounds;
  }

  get reason(): FinishReason | undefined {
    return this.#reason;
  }

  set reason(reason: FinishReason) {
    // A vendor that names a reason twice means the first; what follows is only the end.
    this.#reason ??= reason;
  }

  /**
   * Later counts replace earlier ones of the same name; those that cannot be true change nothing. To be told behind the text
   * that they count; `elapsedMs`: since the backend was asked.
   */
  count({ prompt, cached, completion }: Counts, elapsedMs: number): void {
    const promptMost = this.#bounds.promptBytes + TEMPLATE_TOKENS;
    this.#prompt = plausible(prompt, promptMost) ?? this.#prompt;
    this.#cached = plausible(cached, promptMost) ?? this.#cached;
    this.#completion = plausible(completion, this.#completionMost(elapsedMs)) ?? this.#completion;
  }

  #completionMost(elapsedMs: number): number {
    const { maxTokens } = this.#bounds;
    const thoughts = Math.min(THOUGHT_TOKENS_MAX, elapsedMs * THOUGHT_TOKENS_PER_MS);
    const drawn = this.#answerBytes + FRAME_TOKENS + thoughts;
    // Some servers do not keep to the bound; what they said beyond it is there to be seen.
    return maxTokens === undefined
      ? drawn
      : Math.min(drawn, Math.max(maxTokens, this.#answerBytes) + FRAME_TOKENS);
  }

  said(text: string): void {
    this.#answerBytes += Buffer.byteLength(text);
  }

  /** As far as it is known. */
  get promptTokens(): number {
    return this.#prompt === undefined || this.#prompt === 0
      ? estimateTokens(this.#bounds.promptBytes)
      : this.#prompt;
  }

  usage({ startedAt, firstAt, endedAt }: AnswerTimes): Usage {
    // Nothing was sent or nothing said only where there was nothing: a count of 0 beside a text is no count.
    const promptKnown = this.#prompt !== undefined && this.#prompt > 0;
    const completionKnown =
      this.#completion !== undefined && (this.#completion > 0 || this.#answerBytes === 0);
    const promptTokens = this.promptTokens;
    const first = firstAt ?? endedAt;
    return {
      promptTokens,
      cachedTokens: Math.min(this.#cached ?? 0, promptTokens),
      completionTokens: completionKnown ? (this.#completion ?? 0) : estimateTokens(this.#answerBytes),
      queueMs: 0,
      prefillMs: first - startedAt,
      decodeMs: endedAt - first,
      ...(promptKnown && completionKnown ? {} : { estimated: true }),
    };
  }
}

const plausible = (count: unknown, most: number): number | undefined =>
  typeof count === "number" && Number.isInteger(count) && count >= 0 && count <= most ? count : undefined;
