/** Whatever stands in a price book or a site file, it is read into figures that can be counted with, or refused with its lines. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { microjoules } from "../../engine/core/energy.ts";
import { cloudCost, type PriceBook, priceOf } from "../../engine/metering/prices.ts";
import { localCost, type Site } from "../../engine/metering/site.ts";
import { YamlFileError } from "../../server/checked-yaml.ts";
import { parsePrices } from "../../server/metering/prices-file.ts";
import { parseSite } from "../../server/metering/site-file.ts";

const CANARY = "canary-7f3a91";
const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

const piece = fc.constantFrom(
  ..."{ } [ ] : # - ' \" | > & * ! 0 -1 1e400 .inf .nan 0.0000001 99999999999999999999 true null ~".split(
    " ",
  ),
  "  ",
  "\t",
  "\n",
  `${CANARY} `,
  "__proto__: 1",
);
/** Something is put in, taken out or written over, up to three times. */
const edits = fc.array(
  fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), cut: fc.nat(30), put: piece }),
  { minLength: 1, maxLength: 3 },
);
const edited = (text: string, changes: readonly { at: number; cut: number; put: string }[]): string =>
  changes.reduce((so, { at, cut, put }) => {
    const begin = Math.floor(at * so.length);
    return so.slice(0, begin) + put + so.slice(begin + cut);
  }, text);

/** Undefined where it was refused, as it should be: with a place, and without a word of what stands there. */
function parsed<T>(parse: (text: string, file: string) => T, text: string): T | undefined {
  try {
    return parse(text, "some.yaml");
  } catch (error) {
    if (!(error instanceof YamlFileError)) throw error;
    for (const line of error.message.split("\n")) expect(line).toMatch(/^some\.yaml(:\d+)?: |^and \d+ more$/);
    expect(error.message).not.toContain(`${CANARY} `);
    return undefined;
  }
}

const whole = (figure: number): boolean => Number.isSafeInteger(figure) && figure >= 0;

function countsWith(book: PriceBook): void {
  for (const [provider, models] of book.rows)
    for (const model of models.keys()) {
      const price = priceOf(book, { provider, model, at: Number.MAX_SAFE_INTEGER });
      const tokens = { prompt: 100_000_000, cached: 3, completion: 100_000_000 };
      expect(price !== undefined && whole(cloudCost(price, tokens).price)).toBe(true);
    }
}

function costs(site: Site): void {
  const uj = microjoules(3.6e12);
  const { energy, hardware } = localCost(site, {
    energy: { uj, lowUj: uj, highUj: uj, tier: "measured" },
    fromMs: Date.parse("2026-10-24T12:00Z"),
    toMs: Date.parse("2026-10-25T12:00Z"),
    busyMs: 86_400_000,
  });
  expect(whole(energy) && whole(hardware)).toBe(true);
}

test("a price book that was cut or mistyped anywhere is read or refused, and counts in whole numbers", () => {
  // A few rows are as good as all, and faster.
  const rows = read("server/metering/prices.yaml").split("\n  - provider:");
  const few = [rows[0], ...rows.slice(1, 4), rows.at(-1)].join("\n  - provider:");
  countsWith(parsePrices(few, "few.yaml"));
  let taken = 0;
  fc.assert(
    fc.property(edits, (changes) => {
      const book = parsed(parsePrices, edited(few, changes));
      if (book === undefined) return;
      taken += 1;
      countsWith(book);
    }),
    { numRuns: 250 },
  );
  expect(taken).toBeGreaterThan(10);
});

test("a site file that was cut or mistyped anywhere is read or refused, and costs whole micro-dollars", () => {
  const text = read("site.example.yaml");
  let taken = 0;
  fc.assert(
    fc.property(edits, (changes) => {
      const site = parsed(parseSite, edited(text, changes));
      if (site === undefined) return;
      taken += 1;
      costs(site);
    }),
    { numRuns: 250 },
  );
  expect(taken).toBeGreaterThan(10);
});
