/**
 * One answer's events between the engine, which pushes, and one reader, which may be slower. Text events that wait are
 * read as one, so a slow reader gets fewer and larger ones; nothing is lost or reordered, and what waits is bounded by the
 * answer itself.
 */
import { assert } from "../core/assert.ts";
import { WeirError } from "../core/errors.ts";
import type { GenerationEvent } from "../core/generator.ts";

export interface EventStreamOptions {
  readonly signal: AbortSignal;
  /** Called at most once: when the reader aborts or leaves while the engine still works. Never from the constructor. */
  readonly onAbandon: () => void;
}

type Ending = { readonly kind: "done" } | { readonly kind: "failed"; readonly error: WeirError };

export class EventStream implements AsyncIterable<GenerationEvent> {
  readonly #options: EventStreamOptions;
  readonly #abort: () => void;
  #queue: GenerationEvent[] = [];
  #ending: Ending | undefined;
  #hasReader = false;
  /** Resolved when there is something to read: an event, or the ending. */
  #news: PromiseWithResolvers<void> | undefined;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    this.#abort = () => this.#abandon({ kind: "failed", error: cancelled() });
    // Whoever is building this stream cannot take a call yet.
    if (options.signal.aborted) queueMicrotask(this.#abort);
    else options.signal.addEventListener("abort", this.#abort, { once: true });
  }

  /** After the end it does nothing: the reader has left, and the engine may not know yet. */
  push(event: GenerationEvent): void {
    if (this.#ending !== undefined) return;
    this.#queue.push(event);
    this.#tell();
  }

  end(): void {
    this.#finish({ kind: "done" });
  }

  /** What was pushed before is still read; then the reader's next() rejects, once. */
  fail(error: WeirError): void {
    this.#finish({ kind: "failed", error });
  }

  [Symbol.asyncIterator](): AsyncIterator<GenerationEvent, undefined> {
    assert(!this.#hasReader, "an answer's events have one reader");
    this.#hasReader = true;
    return {
      next: () => this.#next(),
      return: async () => {
        this.#abandon({ kind: "done" });
        this.#queue = [];
        this.#ending = { kind: "done" };
        return { done: true, value: undefined };
      },
    };
  }

  async #next(): Promise<IteratorResult<GenerationEvent, undefined>> {
    while (this.#queue.length === 0 && this.#ending === undefined) {
      this.#news ??= Promise.withResolvers();
      await this.#news.promise;
    }
    const value = this.#take();
    if (value !== undefined) return { done: false, value };
    const ending = this.#ending;
    this.#ending = { kind: "done" };
    if (ending?.kind === "failed") throw ending.error;
    return { done: true, value: undefined };
  }

  /** The next event, together with the text events right behind it if it is one. */
  #take(): GenerationEvent | undefined {
    const [first] = this.#queue;
    if (first?.kind !== "text") return this.#queue.shift();
    const other = this.#queue.findIndex(({ kind }) => kind !== "text");
    const texts = this.#queue.splice(0, other === -1 ? this.#queue.length : other).filter(isText);
    if (texts.length === 1) return first;
    return {
      kind: "text",
      text: texts.map(({ text }) => text).join(""),
      tokens: texts.flatMap(({ tokens }) => tokens),
      logprobs: texts.flatMap(({ logprobs }) => logprobs),
    };
  }

  #abandon(ending: Ending): void {
    if (this.#ending !== undefined) return;
    this.#queue = [];
    this.#finish(ending);
    this.#options.onAbandon();
  }

  #finish(ending: Ending): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    this.#options.signal.removeEventListener("abort", this.#abort);
    this.#tell();
  }

  #tell(): void {
    this.#news?.resolve();
    this.#news = undefined;
  }
}

type TextEvent = Extract<GenerationEvent, { readonly kind: "text" }>;

const isText = (event: GenerationEvent): event is TextEvent => event.kind === "text";

const cancelled = (): WeirError =>
  new WeirError("cancelled", "The client went away; the answer was stopped.");
