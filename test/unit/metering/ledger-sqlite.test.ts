/** What is SQLite's own: what tampering shows, how much room a line takes, what happens while the file cannot be written. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DAY_MS, LedgerError } from "../../../engine/metering/ledger/ledger.ts";
import { SqliteLedger } from "../../../engine/metering/ledger/sqlite.ts";
import { bookTimes, entryWith, JANUARY, traffic } from "../../support/ledger-entries.ts";

let folder: string;
let file: string;
let ledger: SqliteLedger;
const open = (): SqliteLedger => new SqliteLedger({ file, syncEveryMs: 5, busyMs: 20 });
const everything = { from: 0, to: JANUARY + 1000 * DAY_MS };
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weir-ledger-"));
  file = join(folder, "ledger.sqlite");
  ledger = open();
});
afterEach(async () => {
  await ledger.close();
  rmSync(folder, { recursive: true, force: true });
});

/** As somebody with the file and without weir would. */
function meddle(...statements: readonly string[]): void {
  using db = new DatabaseSync(file);
  for (const statement of statements) db.exec(statement);
}

describe("the tables", () => {
  test.each([
    "UPDATE lines SET cost_price = 0 WHERE seq = 3",
    "DELETE FROM lines WHERE seq = 3",
    "DELETE FROM lines",
    "UPDATE shared SET team = 'nobody'",
    "UPDATE priced SET identity = 'free'",
    "DELETE FROM persons",
    "INSERT INTO anchors VALUES (2, x'00', 0, '{}', x'00'); DELETE FROM lines WHERE seq = 3",
  ])("refuse to change what is written: %s", (statement) => {
    ledger.appendNow([...traffic(10, 1)]);
    expect(() => meddle(statement)).toThrow("append-only");
    expect(ledger.appendNow([entryWith()])).toEqual(["appended"]);
  });

  test("are the owner's alone", () => {
    ledger.appendNow([entryWith()]);
    for (const path of [file, `${file}-wal`]) expect(statSync(path).mode & 0o777, path).toBe(0o600);
  });

  test.each([
    [
      "lines_update",
      "UPDATE lines SET cost_price = cost_price + 1 WHERE seq = 3",
      /^line 3: its content was altered$/,
    ],
    ["lines_update", "UPDATE lines SET flags = flags & ~8 WHERE seq = 3", /^line 3: it does not follow/],
    [
      "lines_update",
      "UPDATE lines SET person = NULL WHERE seq = (SELECT min(seq) FROM lines WHERE person IS NOT NULL)",
      /altered/,
    ],
    ["lines_delete", "DELETE FROM lines WHERE seq = 3", /^line 3 is missing$/],
    ["lines_delete", "DELETE FROM lines WHERE seq < 4", /^lines 1 to 3 are missing$/],
    ["lines_update", "UPDATE lines SET hash = zeroblob(32) WHERE seq = 3", /^line 3: it does not follow/],
    ["lines_update", "UPDATE lines SET at = at + 1 WHERE seq = 10", /^line 10: its content was altered$/],
    ["shared_update", "UPDATE shared SET team = 'other' WHERE id = 1", /^line 1: its content was altered$/],
    ["shared_update", "UPDATE shared SET line = 'idle' WHERE id = 1", /^line 1: it is damaged$/],
    ["priced_update", "UPDATE priced SET identity = identity || '!'", /^line 1: its content was altered$/],
    ["persons_update", "UPDATE persons SET identity = identity || 'x'", /altered/],
    [
      "persons_update",
      "UPDATE sums SET energy_uj = energy_uj - 1 WHERE level = 2",
      /^the sums of days are not/,
    ],
    ["persons_update", "DELETE FROM sums WHERE level = 0", /^the sums of hours are not/],
  ])("show what was changed behind their back (%s gone): %s", async (trigger, statement, problem) => {
    ledger.appendNow([...traffic(10, 1)]);
    meddle(`DROP TRIGGER ${trigger}`, statement);
    const { ok, problems } = await ledger.verify();
    expect(ok).toBe(false);
    expect(problems[0]).toMatch(problem);
  });

  test("show what of the compacted was changed", async () => {
    ledger.appendNow([...traffic(50, 5)]);
    await ledger.compact(JANUARY + 3 * DAY_MS);
    meddle(
      "UPDATE sums SET cost_price = cost_price + 1 WHERE level = 2 AND bucket = (SELECT min(bucket) FROM sums WHERE level = 2)",
    );
    expect((await ledger.verify()).problems).toEqual([
      "the sums of compacted days are not those that their lines had",
    ]);
    meddle("DROP TRIGGER anchors_update", "UPDATE anchors SET totals = replace(totals, '1', '2')");
    expect((await ledger.verify()).problems).toContainEqual("the anchor at line 30 was altered");
    meddle("UPDATE anchors SET line_hash = zeroblob(32)");
    expect((await ledger.verify()).problems).toContainEqual(
      expect.stringMatching(/^line 31: it does not follow/),
    );
  });

  test("of something else are no ledger, and of a later weir are not misread", async () => {
    await ledger.close();
    meddle("PRAGMA user_version = 9");
    expect(open).toThrow(new LedgerError(`${file} is a ledger of version 9; this weir knows version 1`));
    file = join(folder, "text");
    writeFileSync(file, "no database, but a text of some length ".repeat(200));
    expect(open).toThrow(/^.*text cannot be opened as a ledger: /);
  });
});

describe("writing", () => {
  test("that failed is told, kept, and done with the next line; nothing counts twice (C5)", async () => {
    const entries = [...traffic(30, 1)];
    {
      using other = new DatabaseSync(file);
      other.exec("BEGIN IMMEDIATE");
      const results = await Promise.allSettled(entries.map((entry) => ledger.append(entry)));
      for (const result of results)
        expect(result).toMatchObject({ status: "rejected", reason: expect.any(LedgerError) as unknown });
      expect(ledger.waiting).toBe(30);
      await expect(ledger.flush()).rejects.toThrow(/^the ledger could not be written: database is locked$/);
      expect(() => ledger.appendNow(entries)).toThrow(LedgerError);
    }
    expect(await ledger.append(entryWith())).toBe("appended");
    expect(ledger.waiting).toBe(0);
    expect(await ledger.append(entries[0] ?? entryWith())).toBe("duplicate");
    expect((await ledger.usage(everything)).total).toMatchObject({ requests: 31, lines: 31 });
    expect((await ledger.verify()).problems).toEqual([]);
  });

  test("is refused at once where too much waits", async () => {
    using other = new DatabaseSync(file);
    other.exec("BEGIN IMMEDIATE");
    const many = Array.from({ length: 10_000 }, (_, index) =>
      ledger.append(entryWith({ request: `r${index}` })),
    );
    await expect(ledger.append(entryWith())).rejects.toThrow("10000 entries wait for it");
    await Promise.allSettled(many);
    await expect(ledger.append(entryWith())).rejects.toThrow(LedgerError);
    other.exec("ROLLBACK");
    await ledger.flush();
    expect((await ledger.usage(everything)).total.requests).toBe(10_000);
  });

  test("a transaction that failed half-way leaves the chain and the names as they were", () => {
    const broken = { ...entryWith({ request: "b", team: "new" }), outcome: "exploded" as "failed" };
    expect(() => ledger.appendNow([entryWith({ request: "a", team: "new" }), broken])).toThrow(LedgerError);
    expect(ledger.appendNow([entryWith({ request: "a", team: "new" })])).toEqual(["appended"]);
  });

  test("of several processes in turns makes one chain", async () => {
    const second = open();
    for (const [index, entry] of [...traffic(100, 2)].entries())
      (index % 3 === 0 ? second : ledger).appendNow([entry]);
    await second.reprice(0, everything.to, bookTimes(2, "book"));
    ledger.appendNow([entryWith()]);
    await second.close();
    const { ok, lines } = await ledger.verify();
    expect(ok).toBe(true);
    expect(lines).toBeGreaterThan(110);
    expect((await ledger.usage(everything)).total.requests).toBe(101);
  });
});

describe("room", () => {
  test("goes back to the system when lines are compacted; the sums stay", async () => {
    ledger.appendNow([...traffic(10_000, 30)]);
    const before = await ledger.usage({ ...everything, groupBy: "team" });
    expect(await ledger.compact(JANUARY + 30 * DAY_MS)).toMatchObject({ lines: 10_000 });
    expect((await ledger.usage({ ...everything, groupBy: "team" })).groups).toEqual(before.groups);
    await ledger.close();
    // Of 10 lines to a sum; what is left is the sums of days and the names.
    expect(statSync(file).size / 10_000).toBeLessThan(90);
    ledger = open();
  });

  test("is for no text: the file holds of an entry only what the ledger is made of", async () => {
    ledger.appendNow([{ ...entryWith(), prompt: "a word of a prompt" } as ReturnType<typeof entryWith>]);
    await ledger.close();
    expect(readFileSync(file).includes("a word of a prompt")).toBe(false);
    ledger = open();
  });
});

test("a person whose lines were all compacted may come back", async () => {
  const ofDay = (day: number, request: string) =>
    entryWith({ request, person: "p", at: JANUARY + day * DAY_MS });
  ledger.appendNow([ofDay(0, "a")]);
  await ledger.compact(JANUARY + DAY_MS);
  expect(ledger.appendNow([ofDay(2, "b")])).toEqual(["appended"]);
  expect(await ledger.entriesOf("b")).toHaveLength(1);
});
