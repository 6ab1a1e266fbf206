/** What is known of one remote answer while it comes: why it ended, and how many tokens it took. Pure. */
import type { FinishReason, Usage } from "../core/generator.ts";
import type { Counts } from "./providers/provider.ts";

/** Beyond any model's context: a count above it is a mistake or a lie. */
const TOKENS_MAX = 100_000_000;
/** Of English prose and code; only for backends that tell nothing. */
const BYTES_PER_TOKEN = 4;

export interface AnswerTimes {
  readonly startedAt: number;
  readonly firstAt: number | undefined;
  readonly endedAt: number;
}

const estimateTokens = (bytes: number): number => Math.ceil(bytes / BYTES_PER_TOKEN);

export class AnswerState {
  readonly #promptBytes: number;
  #answerBytes = 0;
  #reason: FinishReason | undefined;
  #prompt: number | undefined;
  #cached: number | undefined;
  #completion: number | undefined;

  /** `promptBytes`: of all that was sent. */
  constructor(promptBytes: number) {
    this.#promptBytes = promptBytes;
  }

  get reason(): FinishReason | undefined {
    return this.#reason;
  }

  set reason(reason: FinishReason) {
    // A vendor that names a reason twice means the first; what follows is only the end.
    this.#reason ??= reason;
  }

  /** Later counts replace earlier ones of the same name; those that cannot be true change nothing. */
  count({ prompt, cached, completion }: Counts): void {
    this.#prompt = plausible(prompt) ?? this.#prompt;
    this.#cached = plausible(cached) ?? this.#cached;
    this.#completion = plausible(completion) ?? this.#completion;
  }

  said(text: string): void {
    this.#answerBytes += Buffer.byteLength(text);
  }

  /** As far as it is known. */
  get promptTokens(): number {
    return this.#prompt === undefined || this.#prompt === 0
      ? estimateTokens(this.#promptBytes)
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

const plausible = (count: unknown): number | undefined =>
  typeof count === "number" && Number.isInteger(count) && count >= 0 && count <= TOKENS_MAX
    ? count
    : undefined;
