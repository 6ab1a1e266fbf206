/** What every store of the ledger must do, whichever it is. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { LedgerEntry } from "../../engine/core/ledger.ts";
import {
  DAY_MS,
  GROUPINGS,
  HOUR_MS,
  type Ledger,
  LedgerError,
  type Recorded,
} from "../../engine/metering/ledger/ledger.ts";
import { bookTimes, entryWith, JANUARY, traffic } from "../support/ledger-entries.ts";

export interface LedgerUnderTest {
  /** One that is empty. */
  open(): Promise<Ledger>;
  /** The one that was opened last, after it was closed, by a process that knows nothing of before. */
  reopen(): Promise<Ledger>;
  clear(): Promise<void>;
}

async function all(lines: AsyncIterable<Recorded>): Promise<readonly Recorded[]> {
  const found: Recorded[] = [];
  for await (const line of lines) found.push(line);
  return found;
}
const everything = { from: 0, to: JANUARY + 1000 * DAY_MS };

export function ledgerSuite(name: string, subject: LedgerUnderTest): void {
  let ledger: Ledger;
  beforeEach(async () => {
    ledger = await subject.open();
  });
  afterEach(async () => {
    await ledger.close();
    await subject.clear();
  });
  const append = (...entries: readonly LedgerEntry[]) =>
    Promise.all(entries.map((entry) => ledger.append(entry)));

  describe(`${name}: lines`, () => {
    test("come back as they were handed in, whatever they hold", async () => {
      const entries = [
        entryWith({ request: "req-01234567-89ab-cdef-0123-456789abcdef", person: "p", agent: "agent/a" }),
        entryWith({ request: "REQ-01234567-89AB-CDEF-0123-456789ABCDEF", team: undefined, key: undefined }),
        entryWith({ request: "x".repeat(128), choice: 3, attempt: 2, outcome: "failed", estimated: true }),
        entryWith({
          request: "ünïcode 🙂",
          zone: "cloud",
          tier: "declared",
          uj: 50,
          lowUj: 0,
          highUj: 2 ** 50,
          class: "public",
        }),
        entryWith({
          request: "idle-1",
          line: "idle",
          uj: 2 ** 53 - 1,
          price: 2 ** 53 - 1,
          outcome: "aborted",
        }),
      ];
      expect(await append(...entries)).toEqual(entries.map(() => "appended"));
      const found = await Promise.all(entries.map(({ request }) => ledger.entriesOf(request)));
      expect(found.map((lines) => lines.map(({ entry }) => entry))).toEqual(entries.map((entry) => [entry]));
      expect((await all(ledger.export(0, JANUARY + 1))).map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
      expect(await ledger.entriesOf("nobody's")).toEqual([]);
    });

    test("count once, however often they are appended: together, later, after a restart (C6)", async () => {
      const entries = [...traffic(60, 1)];
      await append(...entries, ...entries.slice(0, 20));
      const { total } = await ledger.usage(everything);
      expect(await append(...entries)).toEqual(entries.map(() => "duplicate"));
      await ledger.close();
      ledger = await subject.reopen();
      expect(await append(...entries)).toEqual(entries.map(() => "duplicate"));
      expect((await ledger.usage(everything)).total).toEqual(total);
      expect(total).toMatchObject({ requests: 60, lines: 60 });
    });

    test("of another request under an id that was used before are lines of their own, and not free", async () => {
      const first = entryWith({ request: "mine" });
      const second = entryWith({ request: "mine", at: JANUARY + 1, choice: 1 });
      const again = [first, second].map((entry) => ({ ...entry, at: entry.at + 5000 }));
      expect(await append(first, second)).toEqual(["appended", "appended"]);
      expect(await append(...again, ...again)).toEqual(["reused", "reused", "duplicate", "duplicate"]);
      expect((await ledger.usage(everything)).total).toMatchObject({ requests: 2, lines: 4, energyUj: 400n });
    });

    test("of choices and further attempts are one request; idle and overhead are none", async () => {
      await append(
        entryWith({ attempt: 1, outcome: "failed" }),
        entryWith({ attempt: 2 }),
        entryWith({ attempt: 1, choice: 1 }),
        entryWith({ request: "lane-0", line: "idle", uj: 7, team: undefined, key: undefined }),
        entryWith({ request: "lane-0", line: "overhead", uj: 11, team: undefined, key: undefined }),
      );
      const { total, groups } = await ledger.usage({ ...everything, groupBy: "line" });
      expect(total).toMatchObject({ requests: 1, lines: 5, energyUj: 318n });
      expect(groups.map(({ group, requests, energyUj }) => [group, requests, energyUj])).toEqual([
        ["idle", 0, 7n],
        ["overhead", 0, 11n],
        ["work", 1, 300n],
      ]);
    });

    test.each([
      ["promptTokens", { promptTokens: -1 }],
      ["completionTokens", { completionTokens: 1.5 }],
      ["energy.uj", { uj: Number.NaN }],
      ["energy", { uj: 5, lowUj: 6 }],
      ["cost.price", { price: 2 ** 53 }],
      ["at", { at: -1 }],
      ["decodeMs", { decodeMs: Number.POSITIVE_INFINITY }],
      ["request", { request: "x".repeat(129) }],
      ["team", { team: "" }],
      ["priced", { priced: "\ud800" }],
    ])("with a wrong %s are refused by name, not by value", async (field, words) => {
      expect(() => ledger.append(entryWith(words))).toThrow(new RegExp(`^the entry's ${field} must be`));
      expect((await ledger.usage(everything)).total.lines).toBe(0);
    });
  });

  describe(`${name}: usage`, () => {
    const base = JANUARY + 9 * HOUR_MS + 1234;
    const places = [0, 1, HOUR_MS, 5 * HOUR_MS, DAY_MS - 1, DAY_MS, 3 * DAY_MS + 17, 9 * DAY_MS].map(
      (ms) => base + ms,
    );

    test("over any stretch of time is the sum of its lines, from before included to after excluded", async () => {
      await append(
        ...places.map((at, index) =>
          entryWith({ request: `r${index}`, at, uj: 2 ** index, price: 3 ** index }),
        ),
      );
      const edges = [
        ...places,
        ...places.map((at) => at + 1),
        JANUARY,
        JANUARY + DAY_MS,
        JANUARY + 10 * HOUR_MS,
      ];
      for (const from of edges) {
        for (const to of edges) {
          const inside = [...places.keys()].filter((index) => {
            const at = places[index] as number;
            return at >= from && at < to;
          });
          const { total } = await ledger.usage({ from, to });
          const uj = inside.reduce((sum, index) => sum + 2n ** BigInt(index), 0n);
          expect([total.requests, total.energyUj], `${from} to ${to}`).toEqual([inside.length, uj]);
          expect(total.cost.price).toBe(inside.reduce((sum, index) => sum + 3n ** BigInt(index), 0n));
        }
      }
    });

    test("in groups adds up to the total, whatever they are by", async () => {
      const entries = [...traffic(300, 3)];
      await append(...entries, entryWith({ request: "lane", line: "idle", team: undefined, key: undefined }));
      const stretch = { from: JANUARY + 3 * HOUR_MS + 77, to: JANUARY + 2 * DAY_MS + 5 * HOUR_MS + 99 };
      const { total } = await ledger.usage(stretch);
      expect(total.requests).toBeGreaterThan(150);
      for (const groupBy of GROUPINGS) {
        const grouped = await ledger.usage({ ...stretch, groupBy });
        expect(grouped.total, groupBy).toEqual(total);
        expect(
          grouped.groups.reduce((sum, { energyUj }) => sum + energyUj, 0n),
          groupBy,
        ).toBe(total.energyUj);
        expect(
          grouped.groups.reduce((sum, { requests }) => sum + requests, 0),
          groupBy,
        ).toBe(total.requests);
        expect(new Set(grouped.groups.map(({ group }) => group)).size).toBe(grouped.groups.length);
      }
      const byTeam = await ledger.usage({ ...everything, groupBy: "team" });
      const ofTeam = entries.filter(({ team }) => team === "team-3");
      expect(byTeam.groups.find(({ group }) => group === "team-3")).toMatchObject({
        requests: ofTeam.length,
        promptTokens: ofTeam.reduce((sum, { promptTokens }) => sum + promptTokens, 0),
        energyLowUj: ofTeam.reduce((sum, { energy }) => sum + BigInt(energy.lowUj), 0n),
        energyHighUj: ofTeam.reduce((sum, { energy }) => sum + BigInt(energy.highUj), 0n),
      });
      expect(byTeam.groups.at(-1)?.group).toBeUndefined();
      const narrowed = await ledger.usage({ ...everything, where: { team: "team-3" }, groupBy: "hour" });
      expect(narrowed.total.requests).toBe(ofTeam.length);
      expect(narrowed.groups[0]?.group).toMatch(/^2026-01-01T0\d:00:00\.000Z$/);
      expect((await ledger.usage({ ...everything, where: { team: undefined } })).total.lines).toBe(1);
    });

    test("is exact beyond 2^53, within one batch and over several", async () => {
      const most = 2 ** 53 - 1;
      const great = (index: number) =>
        entryWith({ request: `g${index}`, uj: most, lowUj: most - 1, price: most });
      await append(...[0, 1, 2, 3, 4].map(great));
      await append(great(5));
      const { total } = await ledger.usage(everything);
      expect(total.energyUj).toBe(6n * BigInt(most));
      expect(total.energyLowUj).toBe(6n * BigInt(most - 1));
      expect(total.cost.price).toBe(6n * BigInt(most));
      expect((await ledger.verify()).problems).toEqual([]);
    });

    test("has streamed, cancelled and failed answers like any other (C3, C4)", async () => {
      const outcomes = ["finished", "aborted", "failed"] as const;
      await append(
        ...Array.from({ length: 1283 }, (_, index) =>
          entryWith({
            request: `s${index}`,
            outcome: outcomes[index % 3] ?? "failed",
            estimated: index % 3 !== 0,
            price: 700,
          }),
        ),
      );
      const { total } = await ledger.usage(everything);
      expect(total).toMatchObject({ requests: 1283, completionTokens: 12_830, cost: { price: 898_100n } });
    });

    test("does not begin at 0 again after a restart (C19)", async () => {
      await append(...traffic(100, 2));
      const before = await ledger.usage({ ...everything, groupBy: "key" });
      await ledger.close();
      ledger = await subject.reopen();
      expect(await ledger.usage({ ...everything, groupBy: "key" })).toEqual(before);
      await append(entryWith({ request: "one more" }));
      expect((await ledger.usage(everything)).total.requests).toBe(before.total.requests + 1);
    });
  });

  describe(`${name}: the chain`, () => {
    test("is whole after restarts, and has a point that was noted before", async () => {
      await append(...traffic(30, 1));
      const noted = (await ledger.verify()).last;
      await ledger.close();
      ledger = await subject.reopen();
      await append(...traffic(30, 1, 2));
      if (noted === undefined) throw new Error("there are lines");
      expect(noted.seq).toBe(30);
      const short = { seq: 30, hash: noted.hash.slice(0, 16) };
      expect(await ledger.verify([noted, short])).toMatchObject({
        ok: true,
        lines: 60,
        first: 1,
        problems: [],
      });
      const other = await ledger.verify([
        { seq: 30, hash: "0".repeat(64) },
        { seq: 61, hash: noted.hash },
      ]);
      expect(other.problems).toEqual([
        "line 30 is not the one that was expected",
        "line 61 is missing: the ledger ends before it",
      ]);
    });
  });

  describe(`${name}: prices`, () => {
    const cloud = (index: number) =>
      entryWith({ request: `c${index}`, zone: "cloud", price: 1001 * index, at: JANUARY + index * HOUR_MS });

    test("are corrected by further lines, once for a book, and back by another", async () => {
      await append(...Array.from({ length: 20 }, (_, index) => cloud(index)));
      const stretch = [JANUARY + 5 * HOUR_MS, JANUARY + 15 * HOUR_MS] as const;
      const before = await ledger.usage({ from: stretch[0], to: stretch[1], groupBy: "hour" });
      const book = bookTimes(1.5, "vendor@2026-02-01");
      const first = await ledger.reprice(...stretch, book);
      expect(first).toMatchObject({ entries: 10, corrections: 10 });
      const after = await ledger.usage({ from: stretch[0], to: stretch[1], groupBy: "hour" });
      const exact = Array.from({ length: 10 }, (_, index) => Math.round(1001 * (index + 5) * 1.5));
      expect(after.groups.map(({ cost }) => Number(cost.price))).toEqual(exact);
      expect(after.total.cost.price - before.total.cost.price).toBe(first.difference);
      expect({ ...after.total, cost: 0 }).toEqual({ ...before.total, cost: 0 });
      expect(await ledger.reprice(...stretch, book)).toEqual({ entries: 10, corrections: 0, difference: 0n });
      expect(await ledger.usage({ from: stretch[0], to: stretch[1], groupBy: "hour" })).toEqual(after);

      // To and fro by the same amounts: none of these lines is a duplicate.
      for (let turn = 0; turn < 2; turn += 1) {
        expect((await ledger.reprice(...stretch, bookTimes(1, "vendor@2026-01-01"))).difference).toBe(
          -first.difference,
        );
        expect((await ledger.reprice(...stretch, book)).difference).toBe(first.difference);
      }
      const lines = await ledger.entriesOf("c7");
      expect(
        lines.map(({ corrects, entry, counted }) => [corrects, entry.cost.price, entry.energy.uj, counted]),
      ).toEqual([
        [undefined, 7007, 100, true],
        [8, 3504, 0, false],
        [8, -3504, 0, false],
        [8, 3504, 0, false],
        [8, -3504, 0, false],
        [8, 3504, 0, false],
      ]);
      expect((await ledger.verify()).problems).toEqual([]);
    });

    test("that nobody knows stay as they are (C7)", async () => {
      await append(cloud(1), cloud(2));
      const { total } = await ledger.usage(everything);
      const known = await ledger.reprice(0, everything.to, () => undefined);
      expect(known).toEqual({ entries: 2, corrections: 0, difference: 0n });
      expect((await ledger.usage(everything)).total).toEqual(total);
    });
  });

  describe(`${name}: compaction`, () => {
    test("removes lines and keeps every day's sums, the end of their chain, and what comes after", async () => {
      const entries = [...traffic(1500, 10)];
      await append(...entries);
      const young = entries.filter(({ at }) => at >= JANUARY + 6 * DAY_MS);
      const byDay = await ledger.usage({ ...everything, groupBy: "day" });
      const byKey = await ledger.usage({ ...everything, groupBy: "key" });
      const done = await ledger.compact(JANUARY + 6 * DAY_MS + 5 * HOUR_MS);
      expect(done).toEqual({ lines: entries.length - young.length, daysBefore: JANUARY + 6 * DAY_MS });
      expect((await ledger.usage({ ...everything, groupBy: "day" })).groups).toEqual(byDay.groups);
      expect((await ledger.usage({ ...everything, groupBy: "key" })).groups).toEqual(byKey.groups);
      expect((await all(ledger.export(0, everything.to))).map(({ entry }) => entry)).toEqual(young);
      expect(await ledger.entriesOf(entries[0]?.request ?? "")).toEqual([]);
      const checked = await ledger.verify();
      expect(checked).toMatchObject({
        ok: true,
        lines: young.length,
        first: done.lines + 1,
        anchor: { seq: done.lines },
      });

      // The chain goes on; so do the sums, also for a line of a day that is compacted.
      await append(entryWith({ request: "late", at: JANUARY + DAY_MS, uj: 5 }));
      expect((await ledger.usage(everything)).total.energyUj).toBe(byDay.total.energyUj + 5n);
      expect((await ledger.verify()).problems).toEqual([]);
      expect((await ledger.compact(JANUARY + 8 * DAY_MS)).lines).toBeGreaterThan(100);
      expect((await ledger.usage(everything)).total.energyUj).toBe(byDay.total.energyUj + 5n);
      expect((await ledger.verify()).problems).toEqual([]);
      expect(await ledger.compact(JANUARY + 8 * DAY_MS)).toMatchObject({ lines: 0 });
    });

    test("counts a compacted day where it begins, so that stretches that touch still add up", async () => {
      await append(...traffic(400, 8));
      await ledger.compact(JANUARY + 5 * DAY_MS);
      const { total } = await ledger.usage(everything);
      for (const edge of [JANUARY + 2 * DAY_MS, JANUARY + 3 * DAY_MS + 5555, JANUARY + 6 * DAY_MS + 7]) {
        const [before, after] = [
          await ledger.usage({ from: 0, to: edge }),
          await ledger.usage({ from: edge, to: everything.to }),
        ];
        expect(before.total.energyUj + after.total.energyUj).toBe(total.energyUj);
        expect(before.total.requests + after.total.requests).toBe(total.requests);
        expect(before.daysBefore).toBe(JANUARY + 5 * DAY_MS);
      }
    });

    test("takes everything there is, after which the chain goes on", async () => {
      await append(...traffic(20, 1));
      await ledger.compact(JANUARY + 5 * DAY_MS);
      await ledger.close();
      ledger = await subject.reopen();
      await append(entryWith({ request: "next", at: JANUARY + 5 * DAY_MS }));
      expect(await ledger.verify()).toMatchObject({ ok: true, lines: 1, first: 21, anchor: { seq: 20 } });
    });

    test("leaves nothing to be priced again", async () => {
      await append(...traffic(20, 1));
      await ledger.compact(JANUARY + 5 * DAY_MS);
      await expect(ledger.reprice(JANUARY, everything.to, () => undefined)).rejects.toThrow(LedgerError);
      expect(await ledger.reprice(JANUARY + 5 * DAY_MS, everything.to, () => undefined)).toMatchObject({
        entries: 0,
      });
    });
  });
}
