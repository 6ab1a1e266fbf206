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
/** Something is put in, taken out or written over, once or twice. */
const edits = fc.array(
  fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), cut: fc.nat(30), put: piece }),
  { minLength: 1, maxLength: 2 },
);
const edited = (text: string, changes: readonly { at: number; cut: number; put: string }[]): string =>
  changes.reduce((so, { at, cut, put }) => {
    const begin = Math.floor(at * so.length);
    return so.slice(0, begin) + put + so.slice(begin + cut);
  }, text);

/** Another figure in the place of one: the file often stays one. */
const figures = fc.record({
  at: fc.double({ min: 0, max: 0.999, noNaN: true }),
  put: fc.oneof(
    fc.constantFrom("0", "1", "1e6", "1000000", "9000000000", "0.000001", "0.001", "24"),
    fc.double({ min: 0, max: 1e6, noNaN: true }).map((value) => value.toFixed(3)),
  ),
});
function misfigured(text: string, { at, put }: { readonly at: number; readonly put: string }): string {
  const found = [...text.matchAll(/(?<=[:[] *)\d[\d.]*(?=[ ,}\]\n])/g)];
  const { 0: figure = "", index = 0 } = found[Math.floor(at * found.length)] ?? {};
  return text.slice(0, index) + put + text.slice(index + figure.length);
}
const mistyped = (text: string) =>
  fc.oneof(
    edits.map((changes) => edited(text, changes)),
    figures.map((change) => misfigured(text, change)),
  );

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
  fc.assert(
    fc.property(mistyped(few), (changed) => {
      const book = parsed(parsePrices, changed);
      if (book !== undefined) countsWith(book);
    }),
    { numRuns: 250 },
  );
});

test("a site file that was cut or mistyped anywhere is read or refused, and costs whole micro-dollars", () => {
  const text = read("site.example.yaml");
  costs(parseSite(text, "site.yaml"));
  fc.assert(
    fc.property(mistyped(text), (changed) => {
      const site = parsed(parseSite, changed);
      if (site !== undefined) costs(site);
    }),
    { numRuns: 250 },
  );
});
