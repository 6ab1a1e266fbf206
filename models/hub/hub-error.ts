/** What can go wrong with a hub, and whether trying again may help. */

export interface HubErrorDetails {
  /** True for what passes by itself: a lost connection, a busy server. */
  readonly retryable: boolean;
  /** What the server asked for, in ms. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** The message is fit for a user. It never holds a token, nor the query of an address (which may be signed). */
export class HubError extends Error {
  override readonly name = "HubError";
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  constructor(message: string, { retryable, retryAfterMs, cause }: HubErrorDetails) {
    super(message, cause === undefined ? undefined : { cause });
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
  }
}

export const final = (message: string, cause?: unknown): HubError =>
  new HubError(message, { retryable: false, cause });
