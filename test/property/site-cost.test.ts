/** What work in the house costs: the tariff of each millisecond, summer time and all, and nothing lost by cutting it up. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Energy, microjoules } from "../../engine/core/energy.ts";
import type { CostParts } from "../../engine/core/ledger.ts";
import {
  type CostCarry,
  carriedCost,
  carryOf,
  FIRST_CARRY,
  hardwareRate,
  localCarbon,
  localCost,
  type Site,
  type Stretch,
  sitePriced,
} from "../../engine/metering/site.ts";
import { HOURS_A_WEEK, hourOfWeek } from "../../engine/metering/week-hours.ts";

const HOUR = 3_600_000;
const ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe"];
/** Around changes of the clock in all of them, and in none. */
const MOMENTS = [
  "2026-03-08T00:00Z",
  "2026-03-29T00:00Z",
  "2026-04-04T12:00Z",
  "2026-07-01T00:00Z",
  "2026-10-24T22:00Z",
];

const clocks = new Map(ZONES.map((zone) => [zone, hourOfWeek(zone)]));
const site = fc
  .record({
    zone: fc.constantFrom(...ZONES),
    tariff: fc.array(fc.integer({ min: 0, max: 900_000_000 }), {
      minLength: HOURS_A_WEEK,
      maxLength: HOURS_A_WEEK,
    }),
    pueMicro: fc.integer({ min: 1_000_000, max: 2_000_000 }),
    hardwarePicoPerHour: fc.bigInt({ min: 0n, max: 5_000_000_000_000n }),
    rates: fc.array(fc.integer({ min: 500_000_000, max: 200_000_000_000 }), { minLength: 1, maxLength: 3 }),
  })
  .map(
    ({ zone, rates, ...rest }): Site => ({
      ...rest,
      version: "0123456789ab",
      hourOfWeek: clocks.get(zone) as (ms: number) => number,
      carbon: rest.tariff.map((each) => each % 900_000),
      // The second and third begin inside what is measured.
      rates: rates.map((nanoPerUsd, index) => ({
        id: `r${index}`,
        currency: "EUR",
        fromMs: Date.parse("2026-03-08T00:00Z") + index * 24 * HOUR,
        nanoPerUsd,
      })),
      power: { idleWatts: undefined, busyWatts: undefined },
    }),
  );
const energy = (uj: number): Energy => ({
  uj: microjoules(uj),
  lowUj: microjoules(uj),
  highUj: microjoules(uj),
  tier: "measured",
});
/** With whole microjoules and microseconds each millisecond, so that any cut has its exact share. */
const stretch = fc
  .record({
    moment: fc.constantFrom(...MOMENTS),
    offset: fc.integer({ min: 0, max: 48 * HOUR }),
    length: fc.oneof(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 1, max: 30 * HOUR })),
    ujPerMs: fc.integer({ min: 0, max: 1_000_000 }),
    busy: fc.integer({ min: 0, max: 8 }),
  })
  .map(({ moment, offset, length, ujPerMs, busy }): Stretch => {
    const fromMs = Date.parse(moment) + offset;
    return { fromMs, toMs: fromMs + length, energy: energy(ujPerMs * length), busyMs: (busy * length) / 8 };
  });
const cut = (
  { fromMs, toMs, energy: all, busyMs }: Stretch,
  points: readonly number[],
): readonly Stretch[] => {
  const ends = [...new Set(points.map((point) => fromMs + Math.floor(point * (toMs - fromMs))))]
    .filter((at) => at > fromMs && at < toMs)
    .toSorted((a, b) => a - b);
  return [...ends, toMs].map((end, index) => {
    const begin = index === 0 ? fromMs : (ends[index - 1] as number);
    const part = (end - begin) / (toMs - fromMs);
    return {
      fromMs: begin,
      toMs: end,
      energy: energy(Math.round((all.uj / (toMs - fromMs)) * (end - begin))),
      busyMs: busyMs * part,
    };
  });
};
const points = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 40 });

function inARow(given: Site, lines: readonly Stretch[], first: CostCarry = FIRST_CARRY) {
  let carry = first;
  const costs: CostParts[] = [];
  const priced: string[] = [];
  for (const line of lines) {
    priced.push(sitePriced(given, carry));
    const next = carriedCost(given, line, carry);
    costs.push(next.cost);
    carry = next.carry;
    expect([carry.energy, carry.hardware].every((each) => each >= 0 && each < 1_000_000)).toBe(true);
  }
  const total = (part: "energy" | "hardware") => costs.reduce((sum, cost) => sum + cost[part], 0);
  return { costs, priced, energy: total("energy"), hardware: total("hardware") };
}

describe("the cost of work in the house", () => {
  test("is what each minute costs at the wall clock's tariff and the day's rate", () => {
    fc.assert(
      fc.property(site, stretch, (given, line) => {
        const length = line.toMs - line.fromMs;
        let [dollars, hardware, grams] = [0, 0, 0];
        for (let at = line.fromMs; at < line.toMs; ) {
          const next = Math.min(line.toMs, (Math.floor(at / 60_000) + 1) * 60_000);
          const hour = given.hourOfWeek(at);
          const perUsd =
            (given.rates.findLast(({ fromMs }) => fromMs <= at) ?? given.rates[0])?.nanoPerUsd ?? 0;
          const kwh = (line.energy.uj * ((next - at) / length) * given.pueMicro) / 1e6 / 3.6e12;
          dollars += (kwh * (given.tariff[hour] ?? 0)) / perUsd;
          grams += kwh * (given.carbon[hour] ?? 0);
          hardware +=
            ((line.busyMs / HOUR) * Number(given.hardwarePicoPerHour) * ((next - at) / length)) /
            perUsd /
            1e3;
          at = next;
        }
        const cost = localCost(given, line);
        expect(Math.abs(cost.energy - dollars * 1e6)).toBeLessThanOrEqual(0.501 + dollars * 1e-3);
        expect(Math.abs(cost.hardware - hardware * 1e6)).toBeLessThanOrEqual(0.501 + hardware * 1e-3);
        expect(Math.abs(localCarbon(given, line) - grams * 1e3)).toBeLessThanOrEqual(0.501 + grams * 1e-3);
      }),
      { numRuns: 150 },
    );
  });

  test("is the same within a micro-dollar wherever it is cut in two", () => {
    fc.assert(
      fc.property(site, stretch, fc.double({ min: 0, max: 1, noNaN: true }), (given, line, point) => {
        const whole = localCost(given, line);
        const parts = cut(line, [point]).map((part) => localCost(given, part));
        for (const part of ["energy", "hardware"] as const)
          expect(
            Math.abs(parts.reduce((sum, cost) => sum + cost[part], 0) - whole[part]),
          ).toBeLessThanOrEqual(1);
      }),
      { numRuns: 1000 },
    );
  });

  test("is the same within a micro-dollar however finely it is cut, where what rounding leaves goes on", () => {
    fc.assert(
      fc.property(site, stretch, points, (given, line, at) => {
        const whole = localCost(given, line);
        const parts = inARow(given, cut(line, at));
        expect(Math.abs(parts.energy - whole.energy)).toBeLessThanOrEqual(1);
        expect(Math.abs(parts.hardware - whole.hardware)).toBeLessThanOrEqual(1);
      }),
      { numRuns: 300 },
    );
  });

  test("of a line is the same bits when it is priced again by what stands with it", () => {
    fc.assert(
      fc.property(site, stretch, points, (given, line, at) => {
        const lines = cut(line, at);
        const { costs, priced } = inARow(given, lines, { energy: 17, hardware: 999_999 });
        for (const [index, each] of lines.entries()) {
          const by = carryOf(priced[index] as string);
          expect(by?.version).toBe(given.version);
          expect(carriedCost(given, each, by?.carry ?? FIRST_CARRY).cost).toEqual(costs[index]);
        }
      }),
      { numRuns: 100 },
    );
  });
});

test("a hundred thousand lines of 1.5 micro-dollars each come to 15 cents", () => {
  const given: Site = {
    version: "0",
    hourOfWeek: clocks.get("UTC") as (ms: number) => number,
    tariff: Array.from({ length: HOURS_A_WEEK }, () => 150_000_000),
    pueMicro: 1_000_000,
    carbon: [],
    hardwarePicoPerHour: 0n,
    rates: [{ id: "USD", currency: "USD", fromMs: 0, nanoPerUsd: 1e9 }],
    power: { idleWatts: undefined, busyWatts: undefined },
  };
  const line: Stretch = { fromMs: 1000, toMs: 2000, energy: energy(36_000_000), busyMs: 0 };
  expect(localCost(given, line).energy).toBe(2);
  let [carry, sum] = [FIRST_CARRY, 0];
  for (let index = 0; index < 100_000; index += 1) {
    const next = carriedCost(given, line, carry);
    carry = next.carry;
    sum += next.cost.energy;
  }
  expect(sum).toBe(150_000);
});

test("a moment, time that runs backwards and a very long time all cost their energy", () => {
  fc.assert(
    fc.property(site, fc.constantFrom(0, -1, -HOUR, 800 * 24 * HOUR), (given, length) => {
      const fromMs = Date.parse("2026-07-01T00:00Z");
      const flat = { ...given, tariff: given.tariff.map(() => 200_000_000), rates: given.rates.slice(0, 1) };
      const line = { fromMs, toMs: fromMs + length, energy: energy(3.6e12), busyMs: 0 };
      const perUsd = (flat.rates[0]?.nanoPerUsd ?? 0) / 1e9;
      expect(localCost(flat, line).energy).toBe(
        Math.round(Math.round((0.2 * given.pueMicro * 1e6) / perUsd) / 1e6),
      );
    }),
    { numRuns: 8 },
  );
});

test("hours of the week are those on the wall, in every zone and through every change of the clock", () => {
  const days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
  for (const zone of ZONES) {
    const wall = new Intl.DateTimeFormat("en-GB", {
      timeZone: zone,
      weekday: "long",
      hour: "2-digit",
      hourCycle: "h23",
    });
    for (const moment of MOMENTS) {
      for (let at = Date.parse(moment); at < Date.parse(moment) + 50 * HOUR; at += 5 * 60_000) {
        const [weekday = "", hour = ""] = wall.format(at).split(/, | at /);
        expect(clocks.get(zone)?.(at), `${zone} ${new Date(at).toISOString()}`).toBe(
          days.indexOf(weekday) * 24 + Number(hour),
        );
      }
    }
  }
});

test("hardware costs by the hour what it loses in value over the hours of its life", () => {
  const machine = {
    priceMicro: 9_000_000_000,
    residualMicro: 100_000,
    lifeYearsMicro: 5_000_000,
    hoursAYearMicro: 4_380_000_000,
  };
  // 9000 * 0.9 / (5 * 4380)
  expect(hardwareRate([machine])).toBe(369_863_013_699n);
  expect(hardwareRate([machine, machine])).toBe(739_726_027_398n);
  expect(hardwareRate([])).toBe(0n);
});
