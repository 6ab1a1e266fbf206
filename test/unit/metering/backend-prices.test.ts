/** Which backends of weir.yaml have a price, by whose rows, and which do not. */
import { expect, test } from "vitest";
import { type BackendSettings, backendSchema } from "../../../server/config/backend.ts";
import { backendPrices, unpriced } from "../../../server/metering/backend-prices.ts";
import { parsePrices } from "../../../server/metering/prices-file.ts";

const row = (provider: string, model: string, from = "2026-01-01"): string =>
  `  - { provider: ${provider}, model: ${model}, from: ${from}, per_million: { input: 1, output: 2 }, source: test, read: 2026-01-01 }\n`;
const book = parsePrices(
  `version: 1\nprices:\n${row("openai", "gpt")}${row("acme", "deployed")}${row("gemini", "late", "2026-06-01")}`,
  "prices.yaml",
);
const backend = (given: object): BackendSettings =>
  backendSchema.parse({ kind: "openai", zone: "cloud", url: "https://api.example/v1", ...given });
const backends = {
  vendor: backend({ models: { fast: "gpt", unknown: "gpt-9" } }),
  azure: backend({ prices: "acme", models: { fast: "deployed" } }),
  google: backend({ kind: "gemini", models: ["late"] }),
  house: backend({ zone: "onprem", url: "http://10.0.0.1/v1", models: ["qwen"] }),
  rented: backend({ zone: "onprem", url: "http://10.0.0.2/v1", prices: "acme", models: ["qwen"] }),
};
const prices = backendPrices(backends, book);
const [may, july] = [Date.parse("2026-05-31T23:59:59.999Z"), Date.parse("2026-07-01")];

test("a cloud's model has a price by the vendor's name for it, from its first day on", () => {
  expect(prices.isPriced("vendor", "fast", july)).toBe(true);
  expect(prices.priceOf("vendor", "fast", july)?.row.model).toBe("gpt");
  expect(prices.isPriced("vendor", "unknown", july)).toBe(false);
  // That is what the vendor calls it; no client may say it.
  expect(prices.isPriced("vendor", "gpt", july)).toBe(false);
  expect(prices.priceOf("azure", "fast", july)?.row.provider).toBe("acme");
  expect([prices.isPriced("google", "late", may), prices.isPriced("google", "late", july)]).toEqual([
    false,
    true,
  ]);
});

test("a server of the house needs none unless it says that it goes by the book", () => {
  expect(prices.isPriced("house", "qwen", july)).toBe(true);
  expect(prices.priceOf("house", "qwen", july)).toBeUndefined();
  expect(prices.isPriced("rented", "qwen", july)).toBe(false);
});

test("what is in no configuration has no price", () => {
  for (const name of ["nobody", "__proto__", "constructor"])
    expect(prices.isPriced(name, "fast", july), name).toBe(false);
  for (const model of ["__proto__", "toString", ""])
    expect(prices.isPriced("vendor", model, july), model).toBe(false);
});

test("the models without a price are listed, with what to do", () => {
  expect(
    unpriced({ backends, file: undefined }, book, may).map(
      ({ path, message }) => `${path}: ${message.split(",")[0]}`,
    ),
  ).toEqual([
    "backends.vendor.models: there is no price of openai/gpt-9 in the price book",
    "backends.google.models: there is no price of gemini/late in the price book",
    "backends.rented.models: there is no price of acme/qwen in the price book",
  ]);
  const [first, ...others] = unpriced({ backends, file: "weir.yaml" }, book, july);
  expect(first?.where).toBe("weir.yaml");
  expect(others).toHaveLength(1);
});

test("the provider in weir.yaml is a plain name", () => {
  expect(() => backend({ prices: "Open AI", models: ["x"] })).toThrow(/name of a provider in the price book/);
});
