/** From rounds to figures: medians, spreads, ratios within a round, and the tables that are written from stored results. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { figureOf, type PeersFigure, targetOf } from "../../../bench/peers/figures.ts";
import type { Cell, System } from "../../../bench/peers/system.ts";
import { ratesTable, ratiosTable } from "../../../bench/peers/tables.ts";
import { replaceTables } from "../../../bench/report.ts";
import { appendResults, type RunLine, readResults, resultsFile } from "../../../bench/support/results.ts";
import { median, percentile, spread } from "../../../bench/support/stats.ts";

const CELL: Cell = { kind: "decode", context: 256, rows: 4, steps: 10 };

const system = (name: string, engine: System["engine"]): System => ({
  ...{ name, engine, settings: "" },
  can: () => true,
  measure: () => Promise.reject(new Error("not measured here")),
  close: async () => undefined,
});
const rounds = (...rates: readonly number[]) =>
  rates.map((tokensPerSecond) => ({ tokensPerSecond, insidePerSecond: 2 * tokensPerSecond }));

const figure = (): PeersFigure =>
  figureOf("run 1", CELL, [
    { system: system("weir", "weir"), rounds: rounds(100, 300, 200) },
    { system: system("llama.cpp, F16 cache", "llama"), rounds: rounds(50, 300, 100) },
    { system: system("llama.cpp, Q8_0 cache", "llama"), rounds: rounds(90, 80, 400) },
  ]);

describe("stats", () => {
  test("the median of an even count lies between the two in the middle", () => {
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([9, 1, 5])).toBe(5);
  });

  test("a percentile is one of the values, and at least its share of them is not above it", () => {
    const values = fc.array(fc.double({ noNaN: true }), { minLength: 1 });
    fc.assert(
      fc.property(values, fc.double({ min: 0.01, max: 1, noNaN: true }), (list, share) => {
        const found = percentile(list, share);
        expect(list).toContain(found);
        expect(list.filter((value) => value <= found).length).toBeGreaterThanOrEqual(
          share * list.length - 1e-9,
        );
        expect(list.filter((value) => value < found).length).toBeLessThan(share * list.length);
      }),
    );
  });

  test("figures of nothing are refused", () => {
    expect(() => spread([])).toThrow(RangeError);
  });
});

describe("a figure of the peers", () => {
  test("compares with the llama.cpp whose median is higher", () => {
    expect(figure().bestLlama).toBe("llama.cpp, F16 cache");
  });

  test("takes ratios round by round, so that a slow round slows both", () => {
    expect(figure().ratios).toEqual({ weir: { median: 2, least: 1, most: 2 } });
  });

  test("keeps medians, spreads, the rounds themselves and the time inside", () => {
    expect(figure().systems["weir"]).toEqual({
      ...{ engine: "weir", perSecond: { median: 200, least: 100, most: 300 } },
      ...{ insidePerSecond: 400, rounds: [100, 300, 200] },
    });
  });

  test.each([
    [{ kind: "decode", context: 256, rows: 1, steps: 1 }, 1],
    [{ kind: "decode", context: 256, rows: 2, steps: 1 }, undefined],
    [{ kind: "decode", context: 256, rows: 16, steps: 1 }, 1.15],
    [{ kind: "decode", context: 256, rows: 32, steps: 1 }, undefined],
    [{ kind: "decode", context: 1024, rows: 1, steps: 1 }, 1.15],
    [{ kind: "prefill", tokens: 128 }, undefined],
  ] as const satisfies readonly (readonly [Cell, number | undefined])[])(
    "the aim of %j is %s",
    (cell, aim) => {
      expect(targetOf(cell)).toBe(aim);
    },
  );
});

test("stored results come back run by run, and become tables between the document's marks", () => {
  const folder = mkdtempSync(join(tmpdir(), "weir-test-"));
  try {
    const path = resultsFile("peers", folder);
    expect(readResults(path)).toEqual([]);
    const run = (name: string) => ({ kind: "run", run: name }) as unknown as RunLine;
    appendResults(path, run("run 0"), []);
    appendResults(path, run("run 1"), [figure()]);
    const [before, stored] = readResults<PeersFigure>(path);
    expect(before?.figures).toEqual([]);
    expect(stored?.figures).toEqual([figure()]);
    const rates = ratesTable(stored?.figures ?? []);
    expect(rates).toContain(
      "| decode, context 256, 4 rows   | 200 (100–300) | 100 (50–300)         | 90.0 (80.0–400.0)",
    );
    expect(ratiosTable(stored?.figures ?? [], true)).toContain(
      "F16 cache        | 2.00 (1.00–2.00) | ≥ 1.15 |",
    );
    const marks = ["<!-- tables: written by `npm run bench -- report` -->", "<!-- tables: end -->"];
    const document = `before\n${marks[0]}\nold\n${marks[1]}\nafter\n`;
    const written = replaceTables(document, rates);
    expect(written).toBe(`before\n${marks[0]}\n\n${rates}\n\n${marks[1]}\nafter\n`);
    expect(replaceTables(written, rates)).toBe(written);
    expect(() => replaceTables("no marks", rates)).toThrow("marks");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
