/** One answer on its way out: scheduler events in, generation events out, through a stream that its reader may leave. */
import type { TokenId } from "../core/brand.ts";
import { WeirError } from "../core/errors.ts";
import type { FinishReason, GenerationEvent, TokenLogprob } from "../core/generator.ts";
import type { GenerationRequest } from "../core/request.ts";
import type { SchedulerEvent, SequenceTimes } from "../core/sequence.ts";
import type { ScoredToken } from "../core/step.ts";
import { EventStream } from "./event-stream.ts";
import { promptOffsets } from "./prompt-offsets.ts";
import { TextAssembler, tokenLogprob } from "./text-assembler.ts";
import type { TextCodec } from "./text-codec.ts";

export interface AnswerOptions {
  /** The request's tools are not in its prompt. */
  readonly toolsIgnored: boolean;
  readonly signal: AbortSignal;
  /** Tokens that end the answer and are no part of its text. */
  readonly endings: ReadonlySet<TokenId>;
  /** The reader is gone. */
  readonly cancel: () => void;
  /** A stop string is complete; the scheduler reports the end. */
  readonly stop: () => void;
}

export class Answer {
  readonly #request: GenerationRequest;
  readonly #prompt: readonly TokenId[];
  readonly #codec: TextCodec;
  readonly #options: AnswerOptions;
  readonly #stream: EventStream;
  readonly #assembler: TextAssembler;
  readonly #tokenBytes: (token: TokenId) => Uint8Array;
  #tokens = 0;
  #stopped = false;

  constructor(
    request: GenerationRequest,
    prompt: readonly TokenId[],
    codec: TextCodec,
    options: AnswerOptions,
  ) {
    this.#request = request;
    this.#prompt = prompt;
    this.#codec = codec;
    this.#options = options;
    this.#stream = new EventStream({ signal: options.signal, onAbandon: options.cancel });
    this.#tokenBytes = (token) => codec.tokenBytes(token);
    this.#assembler = new TextAssembler(this.#tokenBytes, {
      isSpecial: (token) => codec.isSpecial(token),
      // An answer goes on where its prompt ends: the space of its first token is part of it.
      stripFirstSpace: false,
      stop: request.stop,
      minTokens: request.minTokens,
    });
    const ignored = options.toolsIgnored ? { toolsIgnored: true as const } : {};
    this.#stream.push({ kind: "started", promptTokens: prompt.length, ...ignored });
    if (request.echo && request.logprobs === undefined) this.#echo(undefined);
  }

  events(): AsyncIterable<GenerationEvent> {
    return this.#stream;
  }

  take(event: SchedulerEvent): void {
    switch (event.kind) {
      case "prompt":
        return this.#echo(event.scored);
      case "token":
        return this.#token(event.token, event.scored);
      case "finished":
        return this.#finish(event.reason, event.times);
      case "failed":
        return this.#stream.fail(new WeirError(event.code, event.message));
    }
  }

  fail(error: WeirError): void {
    this.#stream.fail(error);
  }

  #token(token: TokenId, scored: ScoredToken | undefined): void {
    if (this.#stopped) return;
    this.#tokens += 1;
    if (this.#options.endings.has(token)) return;
    const { event, stopped } = this.#assembler.push(token, scored);
    if (event !== undefined) this.#stream.push(event);
    if (!stopped) return;
    this.#stopped = true;
    this.#options.stop();
  }

  #finish(reason: FinishReason, times: SequenceTimes): void {
    const rest = this.#stopped ? undefined : this.#assembler.flush();
    if (rest !== undefined) this.#stream.push(rest);
    const usage = {
      promptTokens: this.#prompt.length,
      cachedTokens: 0,
      completionTokens: this.#tokens,
      ...times,
    };
    this.#stream.push({ kind: "finished", reason: this.#stopped ? "stop" : reason, usage });
    this.#stream.end();
  }

  #echo(scored: readonly ScoredToken[] | undefined): void {
    const { prompt } = this.#request;
    const text = prompt.kind === "text" ? prompt.text : this.#codec.decode(this.#prompt);
    const logprobs = scored === undefined ? undefined : this.#promptLogprobs(text, scored);
    this.#stream.push({ kind: "prompt", text, tokens: this.#prompt, logprobs });
  }

  #promptLogprobs(text: string, scored: readonly ScoredToken[]): readonly (TokenLogprob | null)[] {
    const offsets = promptOffsets(text, this.#prompt, this.#codec);
    return [
      null,
      ...scored.map((item, index) => tokenLogprob(this.#tokenBytes, item, offsets[index + 1] as number)),
    ];
  }
}
