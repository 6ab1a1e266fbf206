/** prices.yaml: what is taken, and what is refused with which words. */
import { tmpdir } from "node:os";
import { describe, expect, test } from "vitest";
import { cloudCost, priceOf } from "../../../engine/metering/prices.ts";
import { YamlFileError } from "../../../server/checked-yaml.ts";
import { loadPrices, parsePrices } from "../../../server/metering/prices-file.ts";

const WHOLE = `version: 1
prices:
  - provider: acme
    models: [big, big-2026]
    from: 2026-02-01
    per_million: { input: 3, cached_input: 0.3, output: 15, reasoning: 20 }
    long_prompt: { above: 1000, input: 6, output: 22.5, reasoning: 30 }
    source: https://acme.example/prices
    read: 2026-02-03
  - provider: acme
    model: big
    from: 2026-03-01
    currency: EUR
    per_million: { input: 0.000001, output: 2.5 }
    source: a contract
    read: 2026-03-01
    note: agreed
rates:
  - { currency: EUR, from: 2026-01-01, per_usd: 0.8, source: bank }
`;
const refused = (text: string): readonly string[] => {
  try {
    parsePrices(text, "prices.yaml");
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(YamlFileError);
    return (error as Error).message.split("\n");
  }
};
const at = (text: string): number => Date.parse(text);

describe("a price book", () => {
  test("has a row for each model, with what is not said filled in to the dearer side", () => {
    const book = parsePrices(WHOLE, "prices.yaml");
    const first = priceOf(book, { provider: "acme", model: "big-2026", at: at("2026-06-01") });
    expect(first?.row).toMatchObject({
      prices: { input: 3e6, cachedInput: 3e5, output: 15e6, reasoning: 20e6 },
      long: { above: 1000, prices: { input: 6e6, cachedInput: 6e6, output: 22.5e6, reasoning: 30e6 } },
    });
    const second = priceOf(book, { provider: "acme", model: "big", at: at("2026-06-01") });
    expect(second?.row.prices).toEqual({ input: 1, cachedInput: 1, output: 2.5e6, reasoning: 2.5e6 });
    // 2.5 EUR at 0.8 a dollar.
    expect(second && cloudCost(second, { prompt: 0, cached: 0, completion: 1_000_000 }).price).toBe(
      3_125_000,
    );
  });

  test("charges a long prompt for all of its tokens, and one at the bound as usual", () => {
    const book = parsePrices(WHOLE, "prices.yaml");
    const price = priceOf(book, { provider: "acme", model: "big", at: at("2026-02-01") });
    const cost = (prompt: number) =>
      price && cloudCost(price, { prompt, cached: 0, completion: 10, reasoning: 0 }).price;
    expect(cost(1000)).toBe(3000 + 150);
    expect(cost(1001)).toBe(6006 + 225);
  });

  test("names rows by what they say: a price that was edited is another row, a new source is not", () => {
    const id = (text: string) =>
      priceOf(parsePrices(text, "f"), { provider: "acme", model: "big", at: at("2026-02-02") })?.priced;
    expect(id(WHOLE)).toMatch(/^acme\/big@2026-02-01#[0-9a-f]{8}$/);
    expect(id(WHOLE.replace("acme.example", "other.example"))).toBe(id(WHOLE));
    expect(id(WHOLE.replace("output: 15", "output: 15.5"))).not.toBe(id(WHOLE));
    expect(parsePrices(WHOLE, "f").version).not.toBe(parsePrices(WHOLE.replace("agreed", "x"), "f").version);
  });

  test("is refused with every problem and its line", () => {
    const bad = WHOLE.replace("2026-02-01", "2026-02-30")
      .replace("currency: EUR\n", "currency: euro\n")
      .replace("0.000001", "0.0000001")
      .replace("output: 15,", "output: -1, inptu: 3,")
      .replace("note: agreed", "colour: red")
      .replace("    read: 2026-03-01\n", "");
    expect(refused(bad)).toEqual([
      "prices.yaml:5: prices.0.from: must be a day such as 2026-11-23",
      "prices.yaml:6: prices.0.per_million.output: must be a number from 0 to 1000000",
      'prices.yaml:6: prices.0.per_million: Unrecognized key: "inptu"',
      "prices.yaml:13: prices.1.currency: must be three letters of ISO 4217, such as EUR",
      "prices.yaml:14: prices.1.per_million.input: must have at most 6 decimals",
      "prices.yaml:10: prices.1.read: must be a day such as 2026-11-23",
      'prices.yaml:10: prices.1: Unrecognized key: "colour"',
    ]);
  });

  test("is refused where rows contradict each other or themselves", () => {
    expect(refused(WHOLE.replace("from: 2026-03-01", "from: 2026-02-01"))).toEqual([
      "prices.yaml:10: prices.1: there is a price of acme/big from 2026-02-01 before it",
    ]);
    expect(refused(WHOLE.replace("models: [big, big-2026]", "models: [big, big]"))[0]).toContain("before it");
    expect(refused(WHOLE.replace("    model: big\n", ""))).toEqual([
      "prices.yaml:10: prices.1: must name a model, or several as models",
    ]);
    expect(refused(WHOLE.replace("EUR, from", "CHF, from"))).toEqual([
      "prices.yaml:13: prices.1.currency: there is no rate of EUR under rates",
    ]);
    expect(refused(WHOLE.replace("cached_input: 0.3", "cached_input: 3.1"))).toEqual([
      "prices.yaml:6: prices.0.per_million.cached_input: must not be more than input",
    ]);
    expect(refused(WHOLE.replace("output: 22.5", "output: 14"))).toEqual([
      "prices.yaml:7: prices.0.long_prompt.output: must be at least per_million's output",
    ]);
    expect(refused(WHOLE.replace("per_usd: 0.8", "per_usd: 0.000001"))).toEqual([
      "prices.yaml:14: prices.1.per_million.output: is more than a million dollars for a million tokens",
      "prices.yaml:14: prices.1.per_million.reasoning: is more than a million dollars for a million tokens",
    ]);
    const rate = "  - { currency: EUR, from: 2026-01-01, per_usd: 0.9, source: bank }\n";
    expect(refused(WHOLE + rate)).toEqual([
      "prices.yaml:20: rates.1: there is a rate of EUR from 2026-01-01 before it",
    ]);
    expect(refused(WHOLE + rate.replace("EUR", "USD"))).toEqual([
      "prices.yaml:20: rates.1: is not needed: everything is counted in dollars",
    ]);
  });

  test("is refused where it is no YAML, too large, too clever or not there", () => {
    expect(refused("prices: [1\n")[0]).toMatch(/^prices\.yaml:\d: /);
    expect(refused("version: 1\nversion: 1\n")[0]).toMatch(/^prices\.yaml:2: .*unique/);
    expect(refused(`#${"x".repeat(1024 * 1024)}`)).toEqual(["prices.yaml: is larger than 1048576 bytes"]);
    expect(refused("a: !x 1\n")[0]).toMatch(/^prices\.yaml:1: /);
    expect(refused("version: 1\nprices: *p\n")[0]).toContain("alias");
    expect(refused("- 1\n")[0]).toMatch(/^prices\.yaml/);
    expect(refused(WHOLE.replace("note: agreed", "__proto__: agreed"))).toEqual([
      "prices.yaml:17: prices.1.__proto__: cannot be used as a name",
    ]);
    expect(refused(WHOLE.replace("note: agreed", '"a word of somebody": 1'))).toEqual([
      "prices.yaml:10: prices.1: has a key that is none of a price book's",
    ]);
    expect(() => loadPrices("/nowhere/prices.yaml")).toThrow("/nowhere/prices.yaml: does not exist");
    expect(() => loadPrices(tmpdir())).toThrow(": is not a file");
  });
});

describe("the price book that comes with weir", () => {
  const book = loadPrices(undefined);
  const rows = [...book.rows.values()].flatMap((models) => [...models.values()]).flat();

  test("has rows of the large vendors, each with an address and a day, and nothing for free", () => {
    expect([...book.rows.keys()].toSorted()).toEqual(["anthropic", "gemini", "openai"]);
    expect(rows.length).toBeGreaterThan(30);
    for (const row of rows) {
      expect(row.source, row.id).toMatch(/^https:\/\//);
      expect(row.readMs, row.id).toBeGreaterThan(at("2026-05-01"));
      expect(Math.min(...Object.values(row.prices)), row.id).toBeGreaterThan(0);
      expect(row.prices.output, row.id).toBeGreaterThan(row.prices.input);
    }
  });

  test("knows a price that was announced for a day to come", () => {
    const output = (day: string) =>
      priceOf(book, { provider: "gemini", model: "gemini-3.8-flash", at: at(day) })?.row.prices.output;
    expect([output("2026-12-31T23:59:59.999Z"), output("2027-01-01")]).toEqual([3_750_000, 7_500_000]);
  });

  test("knows no model by half its name", () => {
    for (const model of ["gpt-5", "gpt-4.1-nano", "gpt-5.6-sol", "claude-sonnet"])
      for (const provider of book.rows.keys())
        expect(priceOf(book, { provider, model, at: at("2027-01-01") }), model).toBeUndefined();
  });
});
