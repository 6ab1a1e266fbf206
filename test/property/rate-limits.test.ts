/** What a key can never do, whatever it asks for and when, and what it always gets. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Principal, unlimited } from "../../server/ports.ts";
import { type Admission, RateLimits } from "../../server/rate-limits.ts";

const MINUTE_MS = 60_000;

/** In quarters of a millisecond, which add up without rounding. */
const ms = (min: number, max: number): fc.Arbitrary<number> =>
  fc.integer({ min: 4 * min, max: 4 * max }).map((quarters) => quarters / 4);
/** Time may stand still, go on with fractions, or go back. */
const passing = fc.oneof(
  { weight: 4, arbitrary: ms(0, 5_000) },
  { weight: 2, arbitrary: ms(5_000, 100_000) },
  { weight: 2, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: ms(-50_000, 0) },
);
const percent = fc.oneof(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 10 }));
const step = fc.oneof(
  fc.record({ kind: fc.constant("pass" as const), ms: passing }),
  fc.record({
    kind: fc.constant("ask" as const),
    /** Of the limit. */
    estimate: percent,
    /** Of the estimate. */
    used: percent,
  }),
  fc.record({ kind: fc.constant("settle" as const), which: fc.nat() }),
);
const life = fc.record({
  requests: fc.integer({ min: 1, max: 40 }),
  tokens: fc.integer({ min: 1, max: 5_000 }),
  startMs: ms(0, 1e7),
  steps: fc.array(step, { minLength: 1, maxLength: 80, size: "max" }),
});
type Life = typeof life extends fc.Arbitrary<infer Value> ? Value : never;

const principal = ({ requests, tokens }: Pick<Life, "requests" | "tokens">): Principal => ({
  ...unlimited("app", "id-000000001"),
  requestsPerMinute: requests,
  tokensPerMinute: tokens,
});

class MovedClock {
  #nowMs: number;
  /** As far as time has gone on, steps back left out. */
  forwardMs = 0;
  constructor(startMs: number) {
    this.#nowMs = startMs;
  }
  now = (): number => this.#nowMs;
  wall = (): number => this.#nowMs;
  pass(ms: number): void {
    const before = Math.floor(this.#nowMs);
    this.#nowMs += ms;
    this.forwardMs += Math.max(0, Math.floor(this.#nowMs) - before);
  }
}

interface Served {
  readonly atMs: number;
  readonly used: number;
}

/** Lives it to the end, where everything is settled. `estimated`: what a request of so much use says at its arrival. */
function live(
  { steps, startMs, ...bounds }: Life,
  estimated: (estimate: number, used: number) => number,
  wanted: (index: number) => boolean = () => true,
) {
  const clock = new MovedClock(startMs);
  const limits = new RateLimits(clock);
  const key = principal(bounds);
  const open: { settle: () => void }[] = [];
  const served: Served[] = [];
  const admitted = new Set<number>();
  const refusals: (Admission & { ok: false })[] = [];
  for (const [index, each] of steps.entries()) {
    if (each.kind === "pass") clock.pass(each.ms);
    if (each.kind === "settle") open.splice(each.which % (open.length + 1), 1)[0]?.settle();
    if (each.kind !== "ask") continue;
    // Too large for any bucket: looked at, and nothing else.
    if (!wanted(index)) {
      limits.admit(key, bounds.tokens + 1);
      continue;
    }
    const estimate = Math.floor((each.estimate * bounds.tokens) / 100);
    const used = Math.floor((each.used * estimate) / 100);
    const admission = limits.admit(key, estimated(estimate, used));
    if (!admission.ok) {
      refusals.push(admission);
      continue;
    }
    admitted.add(index);
    served.push({ atMs: clock.forwardMs, used });
    open.push({ settle: () => admission.lease.settle(used) });
  }
  for (const lease of open) lease.settle();
  return { limits, clock, key, served, admitted, refusals };
}

test("in any window of time no more passes than one minute's worth and that of the window", () => {
  fc.assert(
    fc.property(life, (each) => {
      const { served } = live(each, (estimate) => estimate);
      for (const [first, { atMs: fromMs }] of served.entries()) {
        let [requests, tokens] = [0, 0];
        for (const { atMs, used } of served.slice(first)) {
          requests += 1;
          tokens += used;
          const windowMs = atMs - fromMs + MINUTE_MS;
          expect(requests * MINUTE_MS).toBeLessThanOrEqual(each.requests * windowMs);
          expect(tokens * MINUTE_MS).toBeLessThanOrEqual(each.tokens * windowMs);
        }
      }
    }),
    { numRuns: 500 },
  );
});

test("once settled, the buckets stand as if what was used had been known at each arrival: nothing leaks", () => {
  fc.assert(
    fc.property(life, (each) => {
      const real = live(each, (estimate) => estimate);
      const known = live(
        each,
        (_, used) => used,
        (index) => real.admitted.has(index),
      );
      expect(known.admitted).toEqual(real.admitted);
      const standing = ({ limits, key }: typeof real) => limits.admit(key, 0);
      expect(JSON.stringify(standing(real))).toBe(JSON.stringify(standing(known)));
    }),
    { numRuns: 500 },
  );
});

test("who comes back after the time that a refusal names gets in, and a millisecond before does not", () => {
  fc.assert(
    fc.property(life, percent, (each, share) => {
      const { limits, clock, key } = live(each, (estimate) => estimate);
      const estimate = Math.floor((share * each.tokens) / 100);
      let now = limits.admit(key, estimate);
      while (now.ok) now = limits.admit(key, estimate);
      const waitMs = now.error.retryAfterMs ?? 0;
      expect(waitMs).toBeGreaterThanOrEqual(1);
      clock.pass(waitMs - 1);
      expect(limits.admit(key, estimate).ok).toBe(false);
      clock.pass(1);
      expect(limits.admit(key, estimate).ok).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test("when time goes back nobody gains, and nobody waits longer than had it stood still", () => {
  fc.assert(
    fc.property(life, ms(0, 1e7), (each, backMs) => {
      const { limits, clock, key, refusals } = live(each, (estimate) => estimate);
      for (const { error } of refusals) expect(error.retryAfterMs).toBeLessThanOrEqual(MINUTE_MS);
      const before = JSON.stringify(limits.admit({ ...key, id: "other" }, 0));
      const asked = limits.admit(key, 0);
      clock.pass(-backMs);
      const again = limits.admit({ ...key, id: "other" }, 0);
      expect(before).toContain(`"x-ratelimit-remaining-requests":"${each.requests - 1}"`);
      if (again.ok)
        expect(again.lease.headers["x-ratelimit-remaining-requests"]).toBe(String(each.requests - 2));
      if (asked.ok) return;
      const waitMs = asked.error.retryAfterMs ?? 0;
      expect(limits.admit(key, 0)).toMatchObject({ ok: false, error: { retryAfterMs: waitMs } });
      clock.pass(waitMs);
      expect(limits.admit(key, 0).ok).toBe(true);
    }),
    { numRuns: 300 },
  );
});
