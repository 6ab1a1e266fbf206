/** Energy to requests: all parts add up to the whole, to the microjoule, and each row pays its Shapley value. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type SequenceId, sequenceId, slot, stepId, tokenId } from "../../engine/core/brand.ts";
import { type Energy, microjoules, splitExactly } from "../../engine/core/energy.ts";
import type { GenerationRequest } from "../../engine/core/request.ts";
import type { StepOutcome, StepPlan } from "../../engine/core/step.ts";
import { type RowWork, rowsOf, shares, splitEnergy } from "../../engine/metering/attribute.ts";
import { EnergyMeter } from "../../engine/metering/energy-meter.ts";
import { StepFit } from "../../engine/metering/step-fit.ts";
import { remoteRequest } from "../support/remote.ts";

const row: fc.Arbitrary<RowWork> = fc.record({
  sequence: fc.nat().map(sequenceId),
  tokens: fc.integer({ min: 1, max: 512 }),
  attended: fc.integer({ min: 1, max: 1_000_000 }),
});
const coefficients = fc.record({
  perStep: fc.double({ min: 0, max: 100, noNaN: true }),
  perToken: fc.double({ min: 0, max: 10, noNaN: true }),
  perAttended: fc.double({ min: 0, max: 0.01, noNaN: true }),
});
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

describe("a whole in parts", () => {
  test("adds up exactly, and no part is further than one from its due", () => {
    const weights = fc.array(fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e9, noNaN: true })), {
      minLength: 1,
      maxLength: 64,
    });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e14 }), weights, (total, shared) => {
        const parts = splitExactly(total, shared);
        expect(sum(parts)).toBe(total);
        const whole = sum(shared);
        for (const [index, part] of parts.entries()) {
          expect(Number.isSafeInteger(part) && part >= 0).toBe(true);
          const due = whole === 0 ? total / shared.length : total * ((shared[index] ?? 0) / whole);
          expect(Math.abs(part - due)).toBeLessThan(1.1);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test("of energy keeps the bounds around each part's sum", () => {
    fc.assert(
      fc.property(
        fc.nat(1e9),
        fc.nat(1e6),
        fc.array(row, { minLength: 1, maxLength: 9 }),
        coefficients,
        (uj, off, rows, by) => {
          const whole: Energy = {
            uj: microjoules(uj + off),
            lowUj: microjoules(uj),
            highUj: microjoules(uj + 3 * off),
            tier: "calibrated",
          };
          const parts = splitEnergy(whole, shares(rows, by));
          expect([
            sum(parts.map((part) => part.uj)),
            sum(parts.map((part) => part.lowUj)),
            sum(parts.map((part) => part.highUj)),
          ]).toEqual([whole.uj, whole.lowUj, whole.highUj]);
        },
      ),
    );
  });

  test.each([[[]], [[-1]], [[Number.NaN]]])("by weights %j is refused", (weights) => {
    expect(() => splitExactly(5, weights)).toThrow(RangeError);
  });
});

describe("a row's share", () => {
  test("is its Shapley value, by enumeration of all orders in which the rows could have come", () => {
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 7 }), coefficients, (rows, by) => {
        const found = shares(rows, by);
        const due = shapley(rows, by);
        const all = sum(due);
        for (const [index, value] of found.entries())
          expect(Math.abs(value - (due[index] ?? 0))).toBeLessThanOrEqual(1e-9 * all + 1e-12);
      }),
      { numRuns: 50 },
    );
  });
});

/** The mean over all subsets of the others, weighted, of what the row adds to them. */
function shapley(
  rows: readonly RowWork[],
  { perStep, perToken, perAttended }: { perStep: number; perToken: number; perAttended: number },
): number[] {
  const cost = (members: readonly RowWork[]): number =>
    members.length === 0
      ? 0
      : perStep + sum(members.map(({ tokens, attended }) => perToken * tokens + perAttended * attended));
  const factorial = (n: number): number => (n <= 1 ? 1 : n * factorial(n - 1));
  const n = rows.length;
  return rows.map((own, index) => {
    const others = rows.filter((_, other) => other !== index);
    let value = 0;
    for (let mask = 0; mask < 2 ** others.length; mask += 1) {
      const members = others.filter((_, bit) => Math.floor(mask / 2 ** bit) % 2 === 1);
      const weight = (factorial(members.length) * factorial(n - members.length - 1)) / factorial(n);
      value += weight * (cost([...members, own]) - cost(members));
    }
    return value;
  });
}

test("coefficients are learnt from times, follow a machine that slows down, and are never negative", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1000 }), (seed) => {
      const fit = new StepFit();
      const truth = { perStep: 5 + (seed % 7), perToken: 0.2, perAttended: 0.0005 };
      const step = (turn: number, slow: number): void => {
        const rows = Array.from({ length: 1 + ((turn * seed) % 8) }, (_, index) => ({
          sequence: sequenceId(index),
          tokens: index === 0 && turn % 3 === 0 ? 64 : 1,
          attended: ((turn * 37 + index * 101 + seed) % 900) + 1,
        }));
        fit.observe(rows, slow * sum(shares(rows, truth)));
      };
      for (let turn = 0; turn < 400; turn += 1) step(turn, 1);
      expect(fit.coefficients.perStep).toBeCloseTo(truth.perStep, 1);
      expect(fit.coefficients.perAttended).toBeCloseTo(truth.perAttended, 4);
      for (let turn = 0; turn < 8000; turn += 1) step(turn, 2);
      expect(fit.coefficients.perStep).toBeCloseTo(2 * truth.perStep, 0);
      fit.observe([{ sequence: sequenceId(1), tokens: 1, attended: 1 }], Number.NaN);
      for (const value of Object.values(fit.coefficients)) expect(value).toBeGreaterThanOrEqual(0);
    }),
    { numRuns: 20 },
  );
});

describe("over whole histories", () => {
  /** One thing that happens to a house of three lanes. */
  const event = fc.oneof(
    fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 50 }) }),
    fc.record({
      kind: fc.constant("step" as const),
      lane: fc.nat(2),
      rows: fc.array(fc.nat(9), { maxLength: 6 }),
      chunk: fc.option(fc.nat(9), { nil: undefined }),
      ms: fc.integer({ min: 0, max: 30 }),
      fails: fc.boolean(),
    }),
    fc.record({ kind: fc.constant("leave" as const), lane: fc.nat(2), who: fc.nat(9) }),
    fc.record({ kind: fc.constant("idle" as const) }),
  );

  test("requests, idle and overhead add up to what the source said: nothing is left over", () => {
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 60 }),
        fc.integer({ min: 1, max: 90_000_000 }),
        (events, power) => {
          let now = 0;
          let readUpTo = 0;
          let counter = 0;
          const meter = new EnergyMeter({
            now: () => now,
            read: ({ at }) => {
              const uj = Math.round((at - readUpTo) * power * 1e-3);
              readUpTo = at;
              counter += uj;
              return {
                uj: microjoules(uj),
                lowUj: microjoules(uj),
                highUj: microjoules(uj),
                tier: "measured",
              };
            },
          });
          const lanes = [meter.laneMeter(2), meter.laneMeter(1), meter.laneMeter(4)];
          const requests = lanes.map(() =>
            Array.from({ length: 10 }, (): GenerationRequest => remoteRequest()),
          );
          for (const [lane, own] of requests.entries())
            for (const [index, request] of own.entries()) lanes[lane]?.open(idOf(index), request);
          let idle = 0;
          for (const each of events) {
            if (each.kind === "wait") now += each.ms;
            else if (each.kind === "leave") lanes[each.lane]?.close(idOf(each.who));
            else if (each.kind === "idle") idle += meter.takeIdle().uj;
            else {
              const lane = lanes[each.lane];
              lane?.begin();
              now += each.ms;
              lane?.end(planOf([...new Set(each.rows)], each.chunk), outcomeOf(each));
            }
          }
          now += 7;
          idle += meter.takeIdle().uj;
          const spent = sum(requests.flat().map((request) => meter.spentOn(request).energy.uj));
          expect(spent + idle + meter.takeOverhead().uj - counter).toBe(0);
          expect([meter.takeIdle().uj, meter.takeOverhead().uj]).toEqual([0, 0]);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("of two lanes that work at once each pays by its threads, and time of a lane adds up to its steps", () => {
    let now = 0;
    let last = 0;
    const meter = new EnergyMeter({
      now: () => now,
      read: ({ at }) => {
        const uj = microjoules((at - last) * 300);
        last = at;
        return { uj, lowUj: uj, highUj: uj, tier: "measured" };
      },
    });
    const [wide, narrow] = [meter.laneMeter(2), meter.laneMeter(1)];
    const [a, b] = [remoteRequest(), remoteRequest()];
    wide.open(idOf(0), a);
    narrow.open(idOf(0), b);
    wide.begin();
    now = 10; // the wide one alone: 3000
    narrow.begin();
    now = 30; // both: 4000 and 2000
    wide.end(planOf([0], undefined), done);
    now = 40; // the narrow one alone: 3000
    narrow.end(planOf([0], undefined), done);
    expect([meter.spentOn(a).energy.uj, meter.spentOn(b).energy.uj]).toEqual([7000, 5000]);
    expect([meter.spentOn(a).laneMs, meter.spentOn(b).laneMs]).toEqual([30, 30]);
  });
});

const idOf = (index: number): SequenceId => sequenceId(index);
const done: StepOutcome = { kind: "done", step: stepId(1), sampled: [], scored: [], decodeMs: 5, chunkMs: 3 };
const outcomeOf = ({ fails }: { readonly fails: boolean }): StepOutcome =>
  fails ? { kind: "failed", step: stepId(1), slotsIntact: true, message: "no" } : done;

function planOf(rows: readonly number[], chunk: number | undefined): StepPlan {
  return {
    step: stepId(1),
    closings: [],
    moves: [],
    openings: [],
    decode: rows.map((index, place) => ({
      sequence: idOf(index),
      slot: slot(place),
      token: tokenId(1),
      position: 5 * index,
    })),
    chunk:
      chunk === undefined
        ? undefined
        : {
            sequence: idOf(chunk),
            slot: slot(9),
            start: 3,
            tokens: [tokenId(1), tokenId(2)],
            samples: false,
            score: undefined,
          },
  };
}

test("a chunk of two tokens behind three attends to four and five", () => {
  expect(rowsOf(planOf([2], 4))).toEqual([
    { sequence: 2, tokens: 1, attended: 11 },
    { sequence: 4, tokens: 2, attended: 9 },
  ]);
});
