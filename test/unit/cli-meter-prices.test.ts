/** `weir meter prices`: what is in force when, what is old, what has no price; and what `weir config check` says of it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runIn } from "../support/commands.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "weir-meter-cli-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const weir = (...argv: string[]) => runIn(home, argv);
function write(name: string, text: string): string {
  const path = join(home, name);
  writeFileSync(path, text);
  return path;
}
/** So many days ago. */
const day = (ago: number): string => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10);
const book = () =>
  write(
    "prices.yaml",
    `version: 1
prices:
  - { provider: openai, model: gpt, from: ${day(30)}, per_million: { input: 2.5, output: 10 }, source: test, read: ${day(181)} }
  - { provider: openai, model: gpt, from: ${day(10)}, per_million: { input: 2, cached_input: 0.075, output: 8 }, source: test, read: ${day(180)} }
  - provider: acme
    model: large
    from: ${day(30)}
    per_million: { input: 1, output: 2 }
    long_prompt: { above: 1000, input: 3, output: 4 }
    source: test
    read: ${day(5)}
`,
  );
const BACKENDS = `backends:
  vendor: { zone: cloud, kind: openai, url: "https://api.example/v1", models: { fast: gpt, other: gpt-99 } }
`;

test("shows what is in force now, by name", async () => {
  const { code, out, err } = await weir("meter", "prices", book());
  expect({ code, err }).toEqual({ code: 0, err: "" });
  const [head, large, gpt, summary] = out.split("\n").map((line) => line.split(/ {2,}/));
  expect(head?.slice(0, 6)).toEqual(["PROVIDER", "MODEL", "FROM", "INPUT", "CACHED", "OUTPUT"]);
  expect(large).toEqual(["acme", "large", day(30), "1", "1", "2", "USD", "> 1000: 3 3 4", day(5)]);
  expect(gpt).toEqual(["openai", "gpt", day(10), "2", "0.075", "8", "USD", day(180)]);
  expect(summary?.[0]).toMatch(
    /^2 prices in force on \d{4}-\d\d-\d\d, for a million tokens\. Book [0-9a-f]{64}$/,
  );
});

test("shows what was in force at another time, and warns of what was read more than 180 days ago", async () => {
  const { code, out, err } = await weir("meter", "prices", book(), "--at", day(20));
  expect(code).toBe(0);
  expect(out).toMatch(/^openai +gpt +\S+ +2\.5 +2\.5 +10 +USD/m);
  expect(err).toMatch(/^weir: warning: 1 price was read more than 180 days ago \(openai\/gpt\)\./);
  expect((await weir("meter", "prices", book(), "--at", day(31))).out).toMatch(/^0 prices in force/);
});

test("is JSON for programs, in the words of the file", async () => {
  const { out } = await weir("meter", "prices", book(), "--json");
  const { prices, unpriced, version } = JSON.parse(out);
  expect(version).toMatch(/^[0-9a-f]{64}$/);
  expect(unpriced).toEqual([]);
  expect(prices[1]).toMatchObject({
    id: expect.stringMatching(/^openai\/gpt@/),
    per_million: { input: 2, cached_input: 0.075, output: 8, reasoning: 8 },
    age_days: 180,
  });
  expect(prices[0].long_prompt).toEqual({ above: 1000, input: 3, cached_input: 3, output: 4, reasoning: 4 });
});

test("names models of weir.yaml without a price, and so does config check", async () => {
  const file = write("weir.yaml", BACKENDS);
  const { code, err } = await weir("meter", "prices", book());
  expect(code).toBe(0);
  expect(err).toMatch(
    /^weir: warning: .*weir\.yaml: backends\.vendor\.models: there is no price of openai\/gpt-99 .* vendor\/other are refused/,
  );
  expect(err.split("\n")).toHaveLength(1);
  const check = await weir("config", "check", file);
  expect(check).toMatchObject({ code: 0, out: `${file} is valid.` });
  // By the book that comes with weir, neither has one.
  expect(check.err.split("\n")).toEqual([
    expect.stringMatching(/^warning: .*openai\/gpt in the price book.* vendor\/fast are refused/),
    expect.stringMatching(/^warning: .*openai\/gpt-99 in the price book/),
  ]);
});

test("a bad date, a bad file and a missing one are said, with exit code 2", async () => {
  for (const date of ["tomorrow", "2026-13-01", "12"])
    expect(await weir("meter", "prices", "--at", date)).toMatchObject({
      code: 2,
      err: expect.stringContaining(`--at ${date} is no date`),
    });
  const bad = write("bad.yaml", "version: 1\nprices:\n  - { provider: X }\n");
  expect(await weir("meter", "prices", bad)).toMatchObject({
    code: 2,
    err: expect.stringContaining(`${bad}:3: prices.0.provider: must be the name of a provider`),
  });
  expect(await weir("meter", "prices", join(home, "none.yaml"))).toMatchObject({
    code: 2,
    err: expect.stringContaining("none.yaml: does not exist"),
  });
});
