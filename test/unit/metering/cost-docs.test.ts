/** docs/cost.md says what is so: its worked examples are counted again, its YAML is read, its coefficients are the code's. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type Energy, microjoules } from "../../../engine/core/energy.ts";
import { totalCost } from "../../../engine/core/ledger.ts";
import { cloudEnergy } from "../../../engine/metering/cloud-energy.ts";
import { cloudCost, priceOf } from "../../../engine/metering/prices.ts";
import { localCost } from "../../../engine/metering/site.ts";
import { loadPrices, parsePrices } from "../../../server/metering/prices-file.ts";
import { DEFAULT_SITE, loadSite } from "../../../server/metering/site-file.ts";

const text = readFileSync(new URL("../../../docs/cost.md", import.meta.url), "utf8");
const cell = (row: string, column: number, from = text): string => {
  const line = from.split("\n").find((each) => each.startsWith(`| ${row} |`));
  return (line?.split("|")[column] ?? "no such row").replaceAll("**", "").trim();
};
const joules = (count: number): Energy => {
  const uj = microjoules(count * 1e6);
  return { uj, lowUj: uj, highUj: uj, tier: "measured" };
};

test("the price of the first example comes out, part by part, by the book that comes with weir", () => {
  const at = Date.parse("2026-11-23T12:00:00Z");
  const price = priceOf(loadPrices(undefined), { provider: "openai", model: "gpt-5-mini", at });
  if (price === undefined) throw new Error("the example's model has no price");
  const cost = (prompt: number, cached: number, completion: number): string =>
    String(cloudCost(price, { prompt, cached, completion }).price);
  expect(cost(800, 0, 0)).toBe(cell("input", 4));
  expect(cost(200, 200, 0)).toBe(cell("cached input", 4));
  expect(cost(0, 0, 500)).toBe(cell("output", 4));
  expect(cost(1000, 200, 500)).toBe(cell("**price**", 4));
  expect(text).toContain(`\`${price.priced}\``);
});

test("the cost of the second example comes out by the example's site file, and its energy at another hour", () => {
  const site = loadSite(new URL("../../../site.example.yaml", import.meta.url).pathname);
  const inHouse = text.slice(text.indexOf("## In the house"));
  const work = (begin: string) => {
    const fromMs = Date.parse(begin);
    return localCost(site, { fromMs, toMs: fromMs + 2000, energy: joules(1800), busyMs: 2000 });
  };
  const cost = work("2026-11-23T09:00:00+01:00");
  expect(String(cost.energy)).toBe(cell("energy", 3, inHouse));
  expect(String(cost.hardware)).toBe(cell("hardware", 3, inHouse.slice(inHouse.indexOf("### A worked"))));
  expect(String(totalCost(cost))).toBe(cell("**cost**", 3, inHouse));
  const noon = work("2026-11-22T12:00:00+01:00").energy;
  expect(inHouse).toContain(`would have taken ${noon} for its energy`);
});

test("the defaults and the coefficients are the ones in force", () => {
  expect(cell("tariff", 2)).toBe(`USD ${(DEFAULT_SITE.tariff[0] ?? 0) / 1e9} a kWh at all hours`);
  expect(cell("carbon", 2)).toBe(`${(DEFAULT_SITE.carbon[0] ?? 0) / 1000} g a kWh`);
  const of = (prompt: number, completion: number, cached = 0): number =>
    cloudEnergy({ prompt, completion, cached }).uj;
  expect(cell("a token of the answer", 2)).toBe(`${of(0, 1) / 1e6} J`);
  expect(cell("a token of the prompt", 2)).toContain(`${Math.round(of(1, 0) / 100) / 1e4} J`);
  expect(Math.round(of(10, 0, 10) / of(10, 0) / 0.1)).toBe(1);
});

test("the YAML in it is a price book", () => {
  const blocks = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml]) => yaml ?? "");
  const [prices = "", rates = ""] = blocks;
  expect(blocks).toHaveLength(2);
  const book = parsePrices(prices + rates, "docs/cost.md");
  const shipped = loadPrices(undefined);
  for (const [provider, models] of book.rows)
    for (const [model, rows] of models)
      expect(rows.map(({ id }) => id)).toEqual(
        shipped.rows
          .get(provider)
          ?.get(model)
          ?.map(({ id }) => id),
      );
  expect([...book.rates.keys()]).toEqual(["EUR"]);
});
