/**
 * When the same backend is asked again. It knows one backend only: there is no second one here to which a request could
 * slip over, so a retry stays in its zone whatever happens.
 */
import { ERRORS, type WeirError } from "../core/errors.ts";

export interface RetryOptions {
  /** Asked at most so often in all; 1 = never again. */
  readonly attemptsMax: number;
  /** The pause before the second attempt is at most this, and twice as long before each further one, in ms. */
  readonly baseMs: number;
  readonly capMs: number;
  /** A backend that asks for a longer pause is not waited for: the client is told instead, in ms. */
  readonly retryAfterMaxMs: number;
}

/**
 * How long to wait before the next attempt, in ms; undefined = give up. `failed` counts the attempts so far, from 1;
 * `chance` is in [0, 1): all clients that failed together come back at different times ("full jitter",
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
 */
export function retryDelayMs(
  failed: number,
  error: WeirError,
  options: RetryOptions,
  chance: number,
): number | undefined {
  if (failed >= options.attemptsMax || !isPassing(error)) return undefined;
  const spread = chance * Math.min(options.capMs, options.baseMs * 2 ** (failed - 1));
  if (error.retryAfterMs === undefined) return spread;
  if (error.retryAfterMs > options.retryAfterMaxMs) return undefined;
  // Never earlier than it asked, and not all at that moment either.
  return error.retryAfterMs + spread;
}

/** Failures of the backend that may pass. A time-out has used up the request's time, and the rest is our own. */
const isPassing = ({ code }: WeirError): boolean =>
  ERRORS[code].retryable && (code === "backend_failed" || code === "overloaded");

/** Date.parse alone takes a great deal for a date. */
const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/**
 * What the headers of an answer ask for, in ms: `retry-after-ms`, or `retry-after` in seconds or as a date. `wallMs`: now,
 * since 1970. Undefined where they ask for nothing that can be read.
 */
export function retryAfterMs(
  headers: Readonly<Record<string, string | undefined>>,
  wallMs: number,
): number | undefined {
  const exact = headers["retry-after-ms"];
  if (exact !== undefined && /^\d{1,9}(?:\.\d{1,9})?$/.test(exact)) return Number(exact);
  const usual = headers["retry-after"];
  if (usual === undefined) return undefined;
  if (/^\d{1,7}(?:\.\d{1,9})?$/.test(usual)) return Number(usual) * 1000;
  const date = HTTP_DATE.test(usual) ? Date.parse(usual) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - wallMs);
}
