import { expect, test } from "vitest";
import type { WeirError } from "../../../engine/core/errors.ts";
import { type Principal, unlimited } from "../../../server/ports.ts";
import { type Admission, durationOf, type Lease, RateLimits } from "../../../server/rate-limits.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const limited = (requestsPerMinute?: number, tokensPerMinute?: number, id = "id-000000001"): Principal => ({
  ...unlimited("app", id),
  scopes: ["inference"],
  requestsPerMinute,
  tokensPerMinute,
});
const leaseOf = (admission: Admission): Lease => {
  if (!admission.ok) throw admission.error;
  return admission.lease;
};
const refused = (admission: Admission): WeirError => {
  if (admission.ok) throw new Error("it was admitted");
  return admission.error;
};

test("a minute's worth passes at once, then one at a time as the minute goes by", () => {
  const clock = new FakeClock();
  const limits = new RateLimits(clock);
  const key = limited(6);
  const lefts = Array.from(
    { length: 6 },
    () => leaseOf(limits.admit(key, 0)).headers["x-ratelimit-remaining-requests"],
  );
  expect(lefts).toEqual(["5", "4", "3", "2", "1", "0"]);
  const no = refused(limits.admit(key, 0));
  expect(no).toMatchObject({ code: "rate_limited", retryAfterMs: 10_000 });
  expect(no.message).toBe("This API key may make 6 requests a minute and has made them. Try again in 10s.");
  clock.advance(9_999);
  expect(refused(limits.admit(key, 0)).retryAfterMs).toBe(1);
  clock.advance(1);
  leaseOf(limits.admit(key, 0));
  refused(limits.admit(key, 0));
});

test("a share of a millisecond is waited for whole, and never adds up to a request too many", () => {
  const clock = new FakeClock();
  const limits = new RateLimits(clock);
  for (let i = 0; i < 7; i += 1) leaseOf(limits.admit(limited(7), 0));
  expect(refused(limits.admit(limited(7), 0)).retryAfterMs, "a seventh of a minute is 8571.4 ms").toBe(8572);
  clock.advance(8571);
  expect(refused(limits.admit(limited(7), 0)).retryAfterMs).toBe(1);
});

test("tokens are reserved at once and settled later: what was not used is there again, what was used more is owed", () => {
  const clock = new FakeClock();
  const limits = new RateLimits(clock);
  const key = limited(undefined, 600);
  const first = leaseOf(limits.admit(key, 500));
  expect(first.headers).toEqual({
    "x-ratelimit-limit-tokens": "600",
    "x-ratelimit-remaining-tokens": "100",
    "x-ratelimit-reset-tokens": "50s",
  });
  expect(refused(limits.admit(key, 200))).toMatchObject({ code: "rate_limited", retryAfterMs: 10_000 });
  first.settle(20);
  first.settle(0);
  const second = leaseOf(limits.admit(key, 200));
  expect(second.headers["x-ratelimit-remaining-tokens"]).toBe("380");
  second.settle(1180);
  const owes = limits.admit(key, 0);
  expect(refused(owes)).toMatchObject({ code: "rate_limited", retryAfterMs: 60_000 });
  expect(owes).toMatchObject({
    headers: { "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "2m0s" },
  });
  clock.advance(60_000);
  leaseOf(limits.admit(key, 0));
  expect(refused(limits.admit(key, 1)).retryAfterMs).toBe(100);
});

test("a refusal costs nothing, whichever limit it is of", () => {
  const limits = new RateLimits(new FakeClock());
  const key = limited(2, 100);
  refused(limits.admit(key, 101));
  leaseOf(limits.admit(key, 90));
  for (let i = 0; i < 5; i += 1) refused(limits.admit(key, 20));
  const last = leaseOf(limits.admit(key, 10));
  expect(last.headers).toMatchObject({
    "x-ratelimit-remaining-requests": "0",
    "x-ratelimit-remaining-tokens": "0",
  });
});

test("a request that no waiting would let through is wrong, and the limit is named", () => {
  const no = refused(new RateLimits(new FakeClock()).admit(limited(undefined, 1000), 1001));
  expect(no).toMatchObject({ code: "invalid_request", param: "max_tokens", retryAfterMs: undefined });
  expect(no.message).toMatch(/up to 1001 tokens.*1000 a minute/);
});

test("a key without limits is never refused, gets no headers and is not remembered", () => {
  const limits = new RateLimits(new FakeClock());
  for (let i = 0; i < 1000; i += 1) {
    const lease = leaseOf(limits.admit(unlimited("admin", undefined), 1e9));
    expect(lease.headers).toEqual({});
  }
  expect(limits.size).toBe(0);
});

test("one key's use is nothing to another one", () => {
  const limits = new RateLimits(new FakeClock());
  leaseOf(limits.admit(limited(1, undefined, "a"), 0));
  refused(limits.admit(limited(1, undefined, "a"), 0));
  leaseOf(limits.admit(limited(1, undefined, "b"), 0));
});

test("a limit that is changed while it is in use holds from the next request on", () => {
  const clock = new FakeClock();
  const limits = new RateLimits(clock);
  leaseOf(limits.admit(limited(100), 0));
  expect(leaseOf(limits.admit(limited(10), 0)).headers["x-ratelimit-remaining-requests"]).toBe("9");
  clock.advance(6_000);
  expect(leaseOf(limits.admit(limited(60), 0)).headers["x-ratelimit-remaining-requests"]).toBe("9");
  clock.advance(6_000);
  expect(leaseOf(limits.admit(limited(60), 0)).headers["x-ratelimit-remaining-requests"]).toBe("14");
  expect(leaseOf(limits.admit(limited(), 0)).headers).toEqual({});
});

test("an amount that is no number counts as the estimate, so that nothing is used for free", () => {
  for (const odd of [Number.NaN, -1, 0.5, Number.POSITIVE_INFINITY]) {
    const limits = new RateLimits(new FakeClock());
    leaseOf(limits.admit(limited(undefined, 100), 60)).settle(odd);
    const after = leaseOf(limits.admit(limited(undefined, 100), 0));
    expect(after.headers["x-ratelimit-remaining-tokens"], String(odd)).toBe("40");
  }
});

test("keys that have been idle for a minute are forgotten", () => {
  const clock = new FakeClock();
  const limits = new RateLimits(clock);
  const held = leaseOf(limits.admit(limited(60, 600, "held"), 600));
  for (let i = 0; i < 10_000; i += 1) {
    leaseOf(limits.admit(limited(60, 600, `key ${i}`), 10)).settle(5);
    clock.advance(100);
  }
  expect(limits.size).toBeLessThan(200);
  held.settle(1_000_000);
  expect(refused(limits.admit(limited(60, 600, "held"), 0)).code, "it was under way").toBe("rate_limited");
});

test("times are written as OpenAI writes them, rounded up", () => {
  const written = [0, 0.2, 120, 999, 1000, 6_140, 6_200, 59_999, 60_000, 61_500, 3_600_000, 7_265_001];
  expect(written.map(durationOf)).toEqual([
    "0s",
    "1ms",
    "120ms",
    "999ms",
    "1s",
    "6.2s",
    "6.2s",
    "1m0s",
    "1m0s",
    "1m1.5s",
    "1h0m0s",
    "2h1m5.1s",
  ]);
});
