/** Whatever is done to a ledger in whatever order, its sums are those of a plain list, and its chain is whole. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type LedgerEntry, microUsd, totalCost } from "../../engine/core/ledger.ts";
import { DAY_MS, HOUR_MS } from "../../engine/metering/ledger/ledger.ts";
import { SqliteLedger } from "../../engine/metering/ledger/sqlite.ts";
import { entryWith, JANUARY } from "../support/ledger-entries.ts";

const whole = (max: number) => fc.integer({ min: 0, max });
const entries = fc
  .record({
    request: fc.oneof(
      whole(4).map((id) => `r${id}`),
      fc.uuid({ version: 4 }).map((id) => `req-${id}`),
      fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }).filter((text) => !text.includes("\0")),
    ),
    choice: whole(1),
    attempt: whole(2),
    line: fc.constantFrom("work", "work", "idle", "overhead"),
    at: whole(4 * DAY_MS).map((ms) => JANUARY + ms),
    zone: fc.constantFrom("onprem", "cloud"),
    team: fc.constantFrom("red", "blue", undefined),
    person: fc.constantFrom("p", "q", undefined),
    outcome: fc.constantFrom("finished", "aborted", "failed"),
    tier: fc.constantFrom("measured", "modelled"),
    uj: fc.oneof(whole(1000), fc.maxSafeNat()),
    price: fc.oneof(whole(1000), fc.maxSafeNat()),
    promptTokens: whole(100_000),
    queueMs: fc.double({ min: 0, max: 1e6, noNaN: true }).map((ms) => Math.round(ms * 1000) / 1000),
  } as const)
  .map(({ uj, ...rest }) => entryWith({ ...rest, uj, lowUj: Math.floor(uj / 2) }));

type Step =
  | { readonly kind: "append"; readonly entries: readonly LedgerEntry[] }
  | { readonly kind: "again" | "reopen" }
  | { readonly kind: "reprice"; readonly price: number }
  | { readonly kind: "compact"; readonly day: number };
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .array(entries, { maxLength: 12 })
      .map((some) => ({ kind: "append", entries: some }) as const),
  },
  { weight: 1, arbitrary: fc.constantFrom({ kind: "again" } as const, { kind: "reopen" } as const) },
  { weight: 1, arbitrary: whole(9).map((price) => ({ kind: "reprice", price }) as const) },
  { weight: 1, arbitrary: whole(3).map((day) => ({ kind: "compact", day }) as const) },
);

/** What stands in the list: the entry, and its price as corrected. */
interface Standing {
  readonly entry: LedgerEntry;
  price: number;
}

/** A ledger and the list that it must agree with. */
class Pair {
  readonly #file: string;
  ledger: SqliteLedger;
  readonly list = new Map<string, Standing>();
  #horizon = 0;

  constructor(folder: string) {
    this.#file = join(folder, "ledger.sqlite");
    this.ledger = this.#open();
  }

  #open = (): SqliteLedger => new SqliteLedger({ file: this.#file, syncEveryMs: 1000 });

  async do(step: Step): Promise<void> {
    switch (step.kind) {
      case "append":
        // Those of days that are compacted may be forgotten and so count again: nobody appends them any more.
        return this.#append(step.entries.filter(({ at }) => at >= this.#horizon));
      case "again":
        return this.#append(
          [...this.list.values()].map(({ entry }) => entry).filter(({ at }) => at >= this.#horizon),
        );
      case "reopen":
        await this.ledger.close();
        this.ledger = this.#open();
        return;
      case "reprice":
        await this.#reprice(step.price);
        return;
      case "compact":
        this.#horizon = (await this.ledger.compact(JANUARY + step.day * DAY_MS + HOUR_MS)).daysBefore;
        return;
    }
  }

  async #append(some: readonly LedgerEntry[]): Promise<void> {
    const results = await Promise.all(some.map((entry) => this.ledger.append(entry)));
    for (const [index, entry] of some.entries()) {
      const known = this.list.has(JSON.stringify(entry));
      expect(results[index] === "duplicate").toBe(known);
      if (!known) this.list.set(JSON.stringify(entry), { entry, price: entry.cost.price });
    }
  }

  async #reprice(price: number): Promise<void> {
    const pricer = (entry: LedgerEntry) => ({
      cost: { ...entry.cost, price: microUsd(price) },
      priced: `book-${price}`,
    });
    const late = [...this.list.values()].filter(({ entry }) => entry.at >= this.#horizon);
    const done = await this.ledger.reprice(this.#horizon, JANUARY + 9 * DAY_MS, pricer);
    expect(done.corrections).toBe(late.filter((standing) => standing.price !== price).length);
    for (const standing of late) standing.price = price;
  }

  /** Sums of the list; a compacted day counts where it begins. */
  sums(from: number, to: number, team?: { readonly is: string | undefined }) {
    const inside = [...this.list.values()].filter(({ entry: { at, team: of } }) => {
      const place = at < this.#horizon ? Math.floor(at / DAY_MS) * DAY_MS : at;
      return place >= from && place < to && (team === undefined || of === team.is);
    });
    const sum = (of: (standing: Standing) => number) =>
      inside.reduce((all, each) => all + BigInt(of(each)), 0n);
    return {
      lines: inside.length,
      energyUj: sum(({ entry }) => entry.energy.uj),
      low: sum(({ entry }) => entry.energy.lowUj),
      tokens: Number(sum(({ entry }) => entry.promptTokens)),
      cost: sum(({ entry }) => totalCost({ ...entry.cost, price: microUsd(0) })) + sum(({ price }) => price),
    };
  }
}

test("appending, replaying, restarting, pricing again and compacting keep every sum, exactly", async () => {
  const stretch = fc
    .tuple(whole(5 * DAY_MS), whole(5 * DAY_MS))
    .map(([a, b]) => [JANUARY + a, JANUARY + b] as const);
  await fc.assert(
    fc.asyncProperty(
      fc.array(steps, { minLength: 2, maxLength: 12 }),
      fc.array(stretch, { maxLength: 4 }),
      async (all, stretches) => {
        const folder = mkdtempSync(join(tmpdir(), "weir-ledger-"));
        const pair = new Pair(folder);
        try {
          for (const step of all) await pair.do(step);
          for (const [from, to] of [[0, JANUARY + 9 * DAY_MS] as const, ...stretches]) {
            for (const team of [undefined, { is: "red" }, { is: undefined }]) {
              const query = team === undefined ? {} : { where: { team: team.is } };
              const { total, groups } = await pair.ledger.usage({ from, to, ...query, groupBy: "zone" });
              const cost = total.cost.price + total.cost.energy + total.cost.hardware;
              const { lines, energyUj, energyLowUj: low, promptTokens: tokens } = total;
              expect({ lines, energyUj, low, tokens, cost }).toEqual(pair.sums(from, to, team));
              expect(groups.reduce((sum, group) => sum + group.energyUj, 0n)).toBe(energyUj);
            }
          }
          expect((await pair.ledger.verify()).problems).toEqual([]);
        } finally {
          await pair.ledger.close();
          rmSync(folder, { recursive: true, force: true });
        }
      },
    ),
    { numRuns: 25 },
  );
});
