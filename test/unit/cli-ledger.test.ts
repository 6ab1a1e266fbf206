/** `weir ledger verify` and `export`: over a ledger as it was left, as somebody changed it, and while it is written. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DAY_MS } from "../../engine/metering/ledger/ledger.ts";
import { LEDGER_NAME, SqliteLedger } from "../../engine/metering/ledger/sqlite.ts";
import { runIn } from "../support/commands.ts";
import { entryWith, JANUARY, traffic } from "../support/ledger-entries.ts";

let home: string;
let file: string;
let ledger: SqliteLedger;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "weir-ledger-"));
  file = join(home, LEDGER_NAME);
  ledger = new SqliteLedger({ file, syncEveryMs: 1000 });
  ledger.appendNow([...traffic(40, 4)]);
});
afterEach(async () => {
  await ledger.close();
  rmSync(home, { recursive: true, force: true });
});
const weir = (...argv: string[]) => runIn(home, ["ledger", ...argv]);

describe("verify", () => {
  test("says what there is, beside a writer, and finds the end that it said before", async () => {
    const { code, out, err } = await weir("verify");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain(`40 lines, 1 to 40 in ${file}`);
    expect(out).toContain("all sums are those of the lines");
    const [, end = ""] = /end {4}(\S+) /.exec(out) ?? [];
    ledger.appendNow([entryWith()]);
    expect((await weir("verify", "--expect", end)).code).toBe(0);
    const json = JSON.parse((await weir("verify", "--json")).out) as object;
    expect(json).toMatchObject({ ok: true, lines: 41, last: { seq: 41 }, problems: [], file });
  });

  test("ends with 1 and the line's number where one was changed, or cut off", async () => {
    const [, end = ""] = /end {4}(\S+) /.exec((await weir("verify")).out) ?? [];
    {
      using db = new DatabaseSync(file);
      db.exec("DROP TRIGGER lines_delete; DELETE FROM lines WHERE seq = 40; DELETE FROM sums");
    }
    const { code, err } = await weir("verify", "--expect", end);
    expect(code).toBe(1);
    expect(err).toContain("line 40 is missing: the ledger ends before it");
    expect(err).toContain("the sums of days are not those of the lines");
    expect(err).toMatch(/\d problems: do not rely on this ledger\.$/);
  });

  test("says where the lines of old begin, and refuses what is no end of a ledger", async () => {
    await ledger.compact(JANUARY + 2 * DAY_MS);
    expect((await weir("verify")).out).toContain(
      "start  after line 20: those up to it were compacted, and of days before 2026-01-03 only sums are kept",
    );
    expect(await weir("verify", "--expect", "17")).toMatchObject({ code: 2 });
  });

  test("makes no ledger where there is none", async () => {
    const other = mkdtempSync(join(tmpdir(), "weir-empty-"));
    const { code, err } = await runIn(other, ["ledger", "verify"]);
    expect(code).toBe(1);
    expect(err).toContain("There is no ledger at");
    rmSync(other, { recursive: true });
  });
});

describe("export", () => {
  test("writes the lines of a stretch of time, whole and without persons, as JSON lines", async () => {
    const { code, out } = await weir(
      "export",
      "--from",
      "2026-01-02",
      "--to",
      "2026-01-03T00:00",
      "--format",
      "jsonl",
    );
    expect(code).toBe(0);
    const lines = out.split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
    const expected = [...traffic(40, 4)].slice(10, 20);
    expect(lines.map(({ request, energy_uj, at }) => [request, energy_uj, at])).toEqual(
      expected.map(({ request, energy, at }) => [request, energy.uj, new Date(at).toISOString()]),
    );
    expect(out).not.toContain("person");
  });

  test("as CSV quotes what must be, and keeps ids from being formulas", async () => {
    ledger.appendNow([
      entryWith({ request: "=HYPERLINK(1)", at: JANUARY + 9 * DAY_MS, team: 'a,"b"', price: 7 }),
      entryWith({ request: "-2", at: JANUARY + 9 * DAY_MS, team: undefined }),
    ]);
    const target = join(home, "out.csv");
    const args = ["export", "--from", "2026-01-10T00:00:00Z", "--out", target];
    expect(await weir(...args)).toEqual({ code: 0, out: "", err: "" });
    const [head = "", first = "", second = "", ...rest] = readFileSync(target, "utf8").split("\n");
    expect(head).toMatch(/^seq,at,request,choice,attempt,line,corrects,zone,/);
    expect(first).toMatch(
      /^41,2026-01-10T00:00:00\.000Z,'=HYPERLINK\(1\),0,1,work,,onprem,local,small,internal,"a,""b""",key-1,,/,
    );
    expect(second).toMatch(/^42,[^,]+,'-2,.*,internal,,key-1,/);
    expect(rest).toEqual([""]);
    expect(statSync(target).mode & 0o777).toBe(0o600);
    expect(await weir(...args)).toMatchObject({ code: 1 });
  });

  test("says what is not there any more, and refuses what is no time", async () => {
    await ledger.compact(JANUARY + 2 * DAY_MS);
    const { code, out, err } = await weir("export", "--from", "2026-01-01");
    expect({ code, lines: out.split("\n").length }).toEqual({ code: 0, lines: 21 });
    expect(err).toContain("of days before 2026-01-03 there are no lines any more");
    for (const from of ["yesterday", "2026-13-01", "2026-01-01 08:00", "17"])
      expect(await weir("export", "--from", from), from).toMatchObject({ code: 2 });
    expect(await weir("export", "--from", "2026-01-02", "--to", "2026-01-01")).toMatchObject({ code: 2 });
  });
});

describe("reprice", () => {
  const book = (input: string): string => `version: 1
prices:
  - { provider: acme, model: big-1, from: 2026-01-01, per_million: { input: ${input}, output: 10 }, source: a test, read: 2026-01-01 }
`;
  const settings = `backends:
  vendor:
    zone: cloud
    kind: openai
    url: https://api.example.com/v1
    prices: acme
    models: { large: big-1 }
`;
  const cloud = {
    backend: "vendor",
    zone: "cloud",
    energyCost: 0,
    hardware: 0,
    promptTokens: 1000,
    cachedTokens: 0,
  } as const;
  const prices = () => join(home, "prices.yaml");
  const reprice = (...more: string[]) =>
    weir("reprice", "--from", "2026-02-01", "--to", "2026-03-01", "--prices", prices(), ...more);

  test("writes the difference to the book once, and says which lines it has no price for", async () => {
    const at = Date.parse("2026-02-10");
    writeFileSync(join(home, "weir.yaml"), settings);
    ledger.appendNow([
      entryWith({ ...cloud, request: "a", model: "large", at, completionTokens: 100, price: 4000 }),
      entryWith({ ...cloud, request: "b", model: "large", at, completionTokens: 200, price: 4000 }),
      entryWith({ ...cloud, request: "c", model: "gone", at, price: 5 }),
      entryWith({ request: "d", at, hardware: 77 }),
    ]);
    // 1,000 tokens at 2 dollars a million, and 100 or 200 at 10.
    writeFileSync(prices(), book("2"));
    const first = await reprice();
    expect(first.code).toBe(0);
    expect(first.out).toMatch(
      /^lines of clouds that were priced again: 2, by book \S+\n1 correction, -0\.001000 US dollars together$/,
    );
    expect(first.err).toContain("lines of clouds that keep their cost: 1.");
    const again = JSON.parse((await reprice("--json")).out) as object;
    expect(again).toMatchObject({ priced: 2, unpriced: 1, corrections: 0, difference_microusd: 0 });
    const february = { from: Date.parse("2026-02-01"), to: Date.parse("2026-03-01") };
    expect((await ledger.usage(february)).total.cost).toMatchObject({ price: 7005n, hardware: 77n });
    expect((await ledger.verify()).ok).toBe(true);
  });
});
