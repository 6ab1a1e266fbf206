/** Fuzzed traces of a counter of energy, against the hardware that made them, which knows what was taken. */
import { describe, expect, test } from "vitest";
import { uniform } from "../../engine/core/random.ts";
import {
  type Advance,
  type CounterFacts,
  readWithinMs,
  WrappingCounter,
} from "../../engine/metering/energy/counter.ts";

const TRACES = 100_000;
const READINGS_MAX = 24;
const WATTS_MAX = 1000;

/** Microjoules. Real ones have a thousand times this range: here wraps, and doubts about them, are no rare thing. */
const FACTS: CounterFacts = { range: 262_143_328, perMsMax: WATTS_MAX * 1000, stepMs: 20, stillMsMax: 1000 };

const EVENTS = [
  ...Array.from({ length: 12 }, () => "plain" as const),
  "idle",
  "long",
  "reset",
  "failed",
  "garbage",
  "stuck",
  "absurd",
  "clock ahead",
  "clock back",
  "no time",
] as const;
type Event = (typeof EVENTS)[number];

/** What really happened in one stretch, and what is seen of it. */
interface Step {
  readonly event: Event;
  /** Truth. */
  readonly taken: number;
  readonly tookMs: number;
  readonly shown: number | undefined;
  readonly elapsedMs: number;
}

/** The hardware: it takes power, and shows a counter. */
class Hardware {
  readonly #draw: () => number;
  readonly #range: number | undefined;
  #counter: number;
  #stuckAt: number | undefined;

  constructor(draw: () => number, range: number | undefined) {
    this.#draw = draw;
    this.#range = range;
    // Often right before a wrap.
    const top = range ?? 1e12;
    this.#counter = Math.floor(draw() < 0.5 ? top * draw() : top - 5e6 * draw());
  }

  get counter(): number {
    return this.#counter;
  }

  step(): Step {
    const draw = this.#draw;
    const drawn = EVENTS[Math.floor(draw() * EVENTS.length)] as Event;
    // While the counter shows nothing, other things that go wrong leave nothing to know anything by.
    const hides = /^clock|reset$|absurd/.test(drawn);
    const event = this.stuck && hides ? "plain" : drawn;
    const long = (FACTS.range as number) / FACTS.perMsMax;
    const tookMs =
      event === "long" ? long * (0.5 + 4 * draw()) : event === "idle" ? 1 + 150 * draw() : 0.5 + 40 * draw();
    const watts = 1 + (WATTS_MAX - 1) * draw() ** 2;
    let taken = Math.max(1, Math.floor(watts * 1000 * tookMs));
    if (event === "absurd")
      taken = Math.floor(FACTS.perMsMax * (tookMs + FACTS.stepMs) * (1.01 + 3 * draw()));
    this.#count(taken, event);
    const elapsedMs =
      event === "clock ahead"
        ? tookMs + 1e6 * draw()
        : event === "clock back"
          ? tookMs - 5000 * draw()
          : event === "no time"
            ? Number.NaN
            : tookMs;
    const shown =
      event === "failed"
        ? undefined
        : event === "garbage"
          ? [-1, Number.NaN, 0.5, 1e300, Number.POSITIVE_INFINITY][Math.floor(5 * draw())]
          : (this.#stuckAt ?? this.#counter);
    return { event, taken, tookMs, shown, elapsedMs };
  }

  #count(taken: number, event: Event): void {
    const draw = this.#draw;
    if (event === "stuck") this.#stuckAt = this.#stuckAt === undefined ? this.#counter : undefined;
    let to = this.#counter + taken;
    // It began again at 0 on the way.
    if (event === "reset") to = Math.floor(taken * draw());
    this.#counter = this.#range === undefined ? to : to % this.#range;
  }

  get stuck(): boolean {
    return this.#stuckAt !== undefined;
  }
}

function drawing(seed: number): () => number {
  let position = 0;
  return () => {
    position += 1;
    return uniform(seed, position);
  };
}

interface Verdict {
  /** A number that is not what was taken, where what is seen shows which it is. */
  wrong: number;
  negative: number;
  /** Not known although nothing was odd. */
  needless: number;
  counted: number;
  unknown: number;
  /** A reset that cannot be told from counting on. */
  hidden: number;
}

function runTrace(trace: number, range: number | undefined, verdict: Verdict): void {
  const draw = drawing(trace);
  const hardware = new Hardware(draw, range);
  const facts = { ...FACTS, range };
  const counter = new WrappingCounter(facts, hardware.counter);
  let at = 1e6 * draw();
  // Since the counter was last seen as it was: what is true of the whole time.
  let owed = 0;
  let baseline: number | undefined = hardware.counter;
  let odd = false;
  const readings = 4 + Math.floor(draw() * (READINGS_MAX - 4));
  for (let reading = 0; reading < readings; reading += 1) {
    const step = hardware.step();
    const since = at;
    at = since + step.elapsedMs;
    const said = counter.advance(step.shown, { since, at, busyThreadMs: 0 });
    owed += step.taken;
    judge({ said, step, owed, odd: odd || hardware.stuck, baseline, range }, verdict);
    if (Number.isNaN(at)) at = since + step.tookMs;
    // A stuck counter owes what it did not show, also where it stuck just before it was looked at for a new beginning.
    if (said.kind === "unknown") owed = hardware.stuck && step.event === "stuck" ? step.taken : 0;
    else if (!hardware.stuck) owed = 0;
    odd = hardware.stuck || step.event === "stuck" || step.event === "failed" || step.event === "garbage";
    baseline = step.event === "failed" || step.event === "garbage" ? undefined : step.shown;
  }
}

interface Judged {
  readonly said: Advance;
  readonly step: Step;
  readonly owed: number;
  readonly odd: boolean;
  readonly baseline: number | undefined;
  readonly range: number | undefined;
}

function judge({ said, step, owed, odd, baseline, range }: Judged, verdict: Verdict): void {
  const most = FACTS.perMsMax * (Math.max(0, step.elapsedMs) + FACTS.stepMs);
  if (said.kind === "unknown") {
    verdict.unknown += 1;
    const usual = step.event === "plain" || step.event === "idle" || step.event === "clock ahead";
    const doubtful = range !== undefined && most >= range;
    if (usual && !doubtful && !odd && baseline !== undefined) verdict.needless += 1;
    return;
  }
  verdict.counted += 1;
  if (!(said.by >= 0) || !Number.isSafeInteger(said.by)) verdict.negative += 1;
  if (step.event === "reset") {
    // Only where the counter, or its wrap, went on in a way that power explains.
    verdict.hidden += 1;
    if (said.by > most) verdict.wrong += 1;
    return;
  }
  // 0 between two steps of a counter is right only for a while; the next test counts that time.
  const standing = said.by === 0 && odd;
  if (said.by !== owed && !standing) verdict.wrong += 1;
}

describe.each([
  ["that wraps", FACTS.range],
  ["without a range", undefined],
] as const)("a counter %s", (_, range) => {
  test(`${TRACES / 2} traces with wraps, resets, failures, hangs and clocks that jump: no wrong number`, () => {
    const verdict: Verdict = { wrong: 0, negative: 0, needless: 0, counted: 0, unknown: 0, hidden: 0 };
    for (let trace = 0; trace < TRACES / 2; trace += 1) runTrace(trace, range, verdict);
    expect(verdict).toMatchObject({ wrong: 0, negative: 0, needless: 0 });
    // It is no answer to know nothing.
    expect(verdict.counted).toBeGreaterThan(verdict.unknown);
    expect(verdict.hidden / verdict.counted).toBeLessThan(0.03);
  });
});

test("a counter that stands still is never 0 for long: the time of its zeros is given to the next source", () => {
  for (let trace = 0; trace < 2000; trace += 1) {
    const draw = drawing(trace);
    const counter = new WrappingCounter(FACTS, 5000);
    let at = 0;
    let busy = 0;
    let zeros = 0;
    let busyZeros = 0;
    let covered = 0;
    let busyCovered = 0;
    for (let reading = 0; reading < 40; reading += 1) {
      const since = at;
      at += 60 * draw();
      const busyThreadMs = 10 * draw();
      busy += busyThreadMs;
      const said = counter.advance(5000, { since, at, busyThreadMs });
      if (said.kind === "unknown") {
        covered += said.stretch.at - said.stretch.since;
        busyCovered += said.stretch.busyThreadMs;
        zeros = 0;
        busyZeros = 0;
      } else {
        zeros += at - since;
        busyZeros += busyThreadMs;
        if (said.by !== 0 || zeros > FACTS.stillMsMax) expect.unreachable(`${zeros} ms of nothing`);
      }
    }
    expect(covered + zeros).toBeCloseTo(at, 6);
    expect(busyCovered + busyZeros).toBeCloseTo(busy, 6);
  }
});

test("how often it must be read follows from range and power", () => {
  expect(readWithinMs(FACTS)).toBeCloseTo(242.1, 1);
  expect(readWithinMs({ ...FACTS, range: undefined })).toBe(Number.POSITIVE_INFINITY);
});
