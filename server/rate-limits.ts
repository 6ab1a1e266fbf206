/**
 * Requests and tokens that a key may use in a minute. A request is counted when it arrives; its tokens are reserved by an
 * estimate and settled by what was used, so that a key with many requests under way cannot use what it does not have.
 * Counts live in memory: a restart begins with full buckets.
 */
import { assert } from "../engine/core/assert.ts";
import type { Clock } from "../engine/core/clock.ts";
import { WeirError } from "../engine/core/errors.ts";
import type { Principal } from "./ports.ts";
import { TokenBucket } from "./token-bucket.ts";

/** Fewer keys than this are not looked through for idle ones. */
const SWEEP_MIN = 64;

export interface Lease {
  /** `x-ratelimit-*` as OpenAI has them, for each limit that the key has. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * Always, also where the request failed or its client left: the reservation holds until then. Prompt and answer together;
   * 0 where nothing was computed. Only the first call counts. What is no whole number counts as the estimate.
   */
  settle(tokensUsed: number): void;
}

export type Admission =
  | { readonly ok: true; readonly lease: Lease }
  /** `rate_limited` with the time to wait; `invalid_request` where no waiting helps. Nothing was counted. */
  | { readonly ok: false; readonly error: WeirError; readonly headers: Readonly<Record<string, string>> };

/** Undefined: the key has no such limit. */
interface Buckets {
  readonly requests: TokenBucket | undefined;
  readonly tokens: TokenBucket | undefined;
}

const FREE: Admission = { ok: true, lease: { headers: {}, settle: () => undefined } };

export class RateLimits {
  readonly #clock: Clock;
  readonly #keys = new Map<string, Buckets>();
  #sweepAt = SWEEP_MIN;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Keys that are remembered: those that used something within the last minutes, and at most twice as many. */
  get size(): number {
    return this.#keys.size;
  }

  /** `estimateTokens`: the most that the request may use, prompt and answer together. */
  admit(principal: Principal, estimateTokens: number): Admission {
    assert(estimateTokens >= 0 && Number.isFinite(estimateTokens), "an estimate is a number of tokens");
    if (principal.requestsPerMinute === undefined && principal.tokensPerMinute === undefined) return FREE;
    const estimate = Math.ceil(estimateTokens);
    const { requests, tokens } = this.#bucketsOf(principal);
    const error = refusal({ requests, tokens }, estimate);
    if (error !== undefined) return { ok: false, error, headers: headersOf({ requests, tokens }) };
    requests?.settle(requests.take(1), 1);
    const charge = tokens?.take(estimate);
    let settled = false;
    const settle = (tokensUsed: number): void => {
      if (settled || charge === undefined) return;
      settled = true;
      tokens?.settle(charge, Number.isSafeInteger(tokensUsed) && tokensUsed >= 0 ? tokensUsed : estimate);
    };
    return { ok: true, lease: { headers: headersOf({ requests, tokens }), settle } };
  }

  /** As they stand now, by the key's present limits. */
  #bucketsOf({ id, name, requestsPerMinute, tokensPerMinute }: Principal): Buckets {
    const key = id === undefined ? `name ${name}` : `id ${id}`;
    const nowMs = this.#clock.now();
    const known = this.#keys.get(key);
    if (known === undefined) this.#sweep(nowMs);
    const of = (bucket: TokenBucket | undefined, perMinute: number | undefined): TokenBucket | undefined => {
      if (perMinute === undefined) return undefined;
      bucket?.advance(nowMs, perMinute);
      return bucket ?? new TokenBucket(perMinute, nowMs);
    };
    const buckets = {
      requests: of(known?.requests, requestsPerMinute),
      tokens: of(known?.tokens, tokensPerMinute),
    };
    this.#keys.set(key, buckets);
    return buckets;
  }

  /** Forgets keys whose buckets are full again: they would be made anew as they are. */
  #sweep(nowMs: number): void {
    if (this.#keys.size < this.#sweepAt) return;
    for (const [key, { requests, tokens }] of this.#keys) {
      requests?.advance(nowMs);
      tokens?.advance(nowMs);
      if (requests?.isIdle !== false && tokens?.isIdle !== false) this.#keys.delete(key);
    }
    this.#sweepAt = Math.max(SWEEP_MIN, 2 * this.#keys.size);
  }
}

function refusal({ requests, tokens }: Buckets, estimate: number): WeirError | undefined {
  if (tokens !== undefined && estimate > tokens.perMinute) {
    return new WeirError(
      "invalid_request",
      `This request may use up to ${estimate} tokens, prompt and answer together, and this API key may use ` +
        `${tokens.perMinute} a minute: no waiting helps. Send a shorter prompt, or a lower 'max_tokens'.`,
      { param: "max_tokens" },
    );
  }
  const requestsMs = requests?.waitMs(1) ?? 0;
  const tokensMs = tokens?.waitMs(estimate) ?? 0;
  const retryAfterMs = Math.max(requestsMs, tokensMs);
  if (retryAfterMs === 0) return undefined;
  const what =
    requestsMs >= tokensMs
      ? `may make ${requests?.perMinute} requests a minute and has made them`
      : `may use ${tokens?.perMinute} tokens a minute, and the ${estimate} that this request may use are not left of them`;
  const message = `This API key ${what}. Try again in ${durationOf(retryAfterMs)}.`;
  return new WeirError("rate_limited", message, { retryAfterMs });
}

function headersOf(buckets: Buckets): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const what of ["requests", "tokens"] as const) {
    const bucket = buckets[what];
    if (bucket === undefined) continue;
    headers[`x-ratelimit-limit-${what}`] = String(bucket.perMinute);
    headers[`x-ratelimit-remaining-${what}`] = String(Math.max(0, Math.floor(bucket.left)));
    headers[`x-ratelimit-reset-${what}`] = durationOf(bucket.fullInMs);
  }
  return headers;
}

/** As OpenAI writes them: `120ms`, `6.2s`, `1m0s`, `2h0m5s`; rounded up. */
export function durationOf(ms: number): string {
  if (ms === 0) return "0s";
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  const tenths = Math.ceil(ms / 100);
  const [hours, minutes] = [Math.floor(tenths / 36_000), Math.floor((tenths % 36_000) / 600)];
  const seconds = `${(tenths % 600) / 10}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}
