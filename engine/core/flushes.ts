/**
 * Forcing to disk what was written, while nobody waits: one flush at a time, and none where nothing was written since the
 * last. A failure is kept, since what the system could not force to disk it may have dropped: nothing more may be promised.
 */
export class Flushes {
  readonly #flush: () => Promise<void>;
  #written = false;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  /** `flush` forces to disk all that was written before it is called, and rejects where it cannot. */
  constructor(flush: () => Promise<void>) {
    this.#flush = flush;
  }

  /** Says that there is something for the next flush to do. */
  written(): void {
    this.#written = true;
  }

  /** Throws what a flush has failed with. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Resolves once all that was written before this call is on disk, or a flush has failed. Never rejects. */
  run(): Promise<void> {
    if (!this.#written || this.#failure !== undefined) return this.#running ?? Promise.resolve();
    if (this.#running === undefined) {
      this.#running = this.#once();
      return this.#running;
    }
    // The one on its way may have begun before the last thing was written: all who ask now share the one after it.
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      return this.run();
    });
    return this.#next;
  }

  async #once(): Promise<void> {
    this.#written = false;
    try {
      await this.#flush();
    } catch (error) {
      this.#failure = { error };
    } finally {
      this.#running = undefined;
    }
  }
}
