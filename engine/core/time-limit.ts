/**
 * A signal that aborts after a time, unless the work is done before: `using limit = new TimeLimit(ms)`. AbortSignal.timeout
 * would hold on to all that listens to it until its time is over, however long ago the work was done.
 */
export class TimeLimit {
  readonly #controller = new AbortController();
  readonly #timer: ReturnType<typeof setTimeout>;

  constructor(ms: number) {
    this.#timer = setTimeout(() => {
      this.#controller.abort(new DOMException("The time is over.", "TimeoutError"));
    }, ms);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
