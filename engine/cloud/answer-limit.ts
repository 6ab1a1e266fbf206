/**
 * The time limit of one answer, apart for the two that it waits for: the backend, and the reader of what the backend said.
 * Each may take the whole of it: a slow reader is no failure of the backend, and neither holds a connection for ever.
 */
import type { Clock } from "../core/clock.ts";

export type Awaited = "backend" | "reader";

/** From its making the backend is waited for. To be disposed of when the answer is over. */
export class AnswerLimit {
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #controller = new AbortController();
  readonly #spentMs = { backend: 0, reader: 0 };
  #awaited: Awaited = "backend";
  #since: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer looks again. */
  #looksAt = 0;
  #over: Awaited | undefined;

  constructor(clock: Clock, limitMs: number) {
    this.#clock = clock;
    this.#limitMs = limitMs;
    this.#since = clock.now();
    this.#lookIn(limitMs);
  }

  /** Aborts when either has taken its time. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Who has. */
  get over(): Awaited | undefined {
    return this.#over;
  }

  waitFor(next: Awaited): void {
    this.#count();
    this.#awaited = next;
    // Seldom: each event of an answer comes by here, and the timer mostly looks early enough.
    if (this.#over === undefined && this.#since + this.#leftMs < this.#looksAt) this.#lookIn(this.#leftMs);
  }

  get #leftMs(): number {
    return this.#limitMs - this.#spentMs[this.#awaited];
  }

  #count(): void {
    const now = this.#clock.now();
    this.#spentMs[this.#awaited] += now - this.#since;
    this.#since = now;
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#looksAt = this.#since + ms;
    this.#timer = setTimeout(() => this.#look(), Math.ceil(ms));
  }

  #look(): void {
    this.#count();
    if (this.#leftMs > 0) return this.#lookIn(this.#leftMs);
    this.#over = this.#awaited;
    this.#controller.abort(new DOMException("The time is over.", "TimeoutError"));
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
