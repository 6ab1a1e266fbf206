/** What `cloud-stream` asks, how its client finds the first text, and what becomes of its times. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cloudStreamTables, figureOf, orderOf, questionOf } from "../../../bench/load/cloud-stream.ts";
import { ContentReader } from "../../../bench/load/stream-messages.ts";

const data = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
const delta = (of: object): string => data({ choices: [{ index: 0, delta: of }] });

describe("the client", () => {
  const opening = `${delta({ role: "assistant", content: "" })}: keep-alive\n\n${delta({ content: null })}`;
  const stream = `${opening}${delta({ content: "Take é" })}${delta({ content: " it." })}${data({ choices: [] })}data: [DONE]\n\n`;

  test("counts from the first event with text, not from the one that opens the answer", () => {
    const reader = new ContentReader();
    expect(reader.feed(opening)).toBe(false);
    expect(reader.feed(delta({ content: "Take" }).slice(0, -1))).toBe(false);
    expect(reader.feed("\n")).toBe(true);
  });

  test("reads the same text however the stream is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(stream.length), { maxLength: 12 }), (places) => {
        const reader = new ContentReader();
        const cuts = [0, ...places.toSorted((a, b) => a - b), stream.length];
        const grew = cuts.slice(1).filter((end, index) => reader.feed(stream.slice(cuts[index], end)));
        expect([reader.text, reader.done]).toEqual(["Take é it.", true]);
        expect(grew.length).toBeGreaterThan(0);
        expect(grew.length).toBeLessThanOrEqual(2);
      }),
    );
  });
});

describe("what is asked", () => {
  test("each way is as often first, second and last as the others", () => {
    const orders = [0, 1, 2].map(orderOf);
    for (const place of [0, 1, 2]) expect(new Set(orders.map((order) => order[place])).size).toBe(3);
    expect(orderOf(301)).toEqual(orderOf(1));
  });

  test("no two rounds ask in the same words, and the ways in the same but for the hosts", () => {
    const asked = Array.from({ length: 400 }, (_, round) => questionOf(["10.1.1.1", "10.1.1.2"], round));
    expect(new Set(asked).size).toBe(400);
    for (const [round, text] of asked.entries())
      expect(text.replace("10.1.1.1", "one").replace("10.1.1.2", "two")).toBe(
        questionOf(["one", "two"], round),
      );
  });
});

test("times become medians, p95s and their differences, beside the bound", () => {
  const times = (first: number) => Array.from({ length: 100 }, (_, index) => first + index / 100);
  const figure = figureOf(
    "run 1",
    { requests: 100, pauseMs: 20, bodyBytes: 1000 },
    {
      direct: times(40),
      public: times(42),
      pseudonymised: [...times(43).slice(0, 90), ...times(60).slice(0, 10)],
    },
  );
  expect(figure.firstContentMs.direct).toEqual({ median: 40.5, least: 40, most: 40.99, p95: 40.94 });
  const [ways, differences] = cloudStreamTables([figure]);
  expect(ways).toContain("| directly                    | 100      | 40.5 (40.0–41.0)        | 40.9 |");
  expect(differences).toMatch(/filtering: pseudonymised over public +\| 1\.00 +\| 17\.10 +\| ≤ 5 /);
  expect(differences).toMatch(/public over direct +\| 2\.00 +\| 2\.00 +\| {7}\|/);
});
