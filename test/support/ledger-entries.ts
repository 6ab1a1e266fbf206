/** Entries of a ledger, for tests: whole ones from a few words, and many that look like a house's traffic. */
import { type EnergyTier, microjoules } from "../../engine/core/energy.ts";
import { type LedgerEntry, microUsd } from "../../engine/core/ledger.ts";
import { Chance } from "./chance.ts";

/** 2026-01-01T00:00:00Z */
export const JANUARY = 1_767_225_600_000;

interface Words extends Partial<Omit<LedgerEntry, "energy" | "cost">> {
  readonly uj?: number;
  readonly lowUj?: number;
  readonly highUj?: number;
  readonly tier?: EnergyTier;
  readonly price?: number;
  readonly energyCost?: number;
  readonly hardware?: number;
}

export function entryWith(words: Words = {}): LedgerEntry {
  const {
    uj = 100,
    lowUj = uj,
    highUj = uj,
    tier = "measured",
    price = 0,
    energyCost = 2,
    hardware = 3,
    ...rest
  } = words;
  return {
    ...{ request: "req-1", choice: 0, attempt: 1, line: "work", at: JANUARY },
    ...{ backend: "local", zone: "onprem", model: "small", class: "internal" },
    ...{ team: "red", key: "key-1", agent: undefined, person: undefined, outcome: "finished" },
    ...{ promptTokens: 20, cachedTokens: 5, completionTokens: 10, estimated: false, priced: "site-1" },
    ...{ queueMs: 1, prefillMs: 2.5, decodeMs: 40.125 },
    ...rest,
    energy: { uj: microjoules(uj), lowUj: microjoules(lowUj), highUj: microjoules(highUj), tier },
    cost: { price: microUsd(price), energy: microUsd(energyCost), hardware: microUsd(hardware) },
  };
}

/** The form of weir's own ids; of each seed and place another. */
function ownId(chance: Chance): string {
  const hex = Array.from({ length: 32 }, () => chance.between(0, 15).toString(16)).join("");
  return `req-${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/**
 * Traffic: 10 teams with 5 keys each, 4 models of which one is a cloud's, 3 agents, 2,000 people; every tenth request has the
 * client's own id. Evenly over `days` from January on.
 */
export function* traffic(count: number, days: number, seed = 1): Generator<LedgerEntry> {
  const chance = new Chance(seed);
  for (let index = 0; index < count; index += 1) {
    const team = chance.between(0, 9);
    const model = chance.between(0, 3);
    const cloud = model === 3;
    const uj = chance.between(100_000, 60_000_000);
    const tokens = chance.between(50, 4000);
    yield entryWith({
      request: chance.oneIn(10) ? `client-${index}-${"x".repeat(chance.between(0, 100))}` : ownId(chance),
      at: JANUARY + Math.floor((index * days * 86_400_000) / count),
      ...(cloud
        ? {
            backend: "vendor",
            zone: "cloud",
            tier: "declared",
            price: tokens * 3,
            energyCost: 0,
            hardware: 0,
          }
        : { energyCost: Math.floor(uj / 12_000), hardware: chance.between(1, 900), tier: "measured" }),
      ...{ model: `model-${model}`, team: `team-${team}`, key: `key-${team}-${chance.between(0, 4)}` },
      agent: chance.oneIn(3) ? `agent/${chance.between(0, 2)}` : undefined,
      person: chance.oneIn(2) ? `person-${chance.between(0, 1999)}` : undefined,
      outcome: chance.oneIn(20) ? "aborted" : "finished",
      ...{
        promptTokens: tokens,
        cachedTokens: Math.floor(tokens / 3),
        completionTokens: chance.between(1, 500),
      },
      ...{
        uj,
        lowUj: Math.floor(uj * 0.9),
        highUj: Math.ceil(uj * 1.1),
        priced: cloud ? "vendor@2026-01-01" : "site-1",
      },
      ...{
        queueMs: chance.between(0, 50),
        prefillMs: chance.between(1, 300) / 8,
        decodeMs: chance.between(10, 9000) / 4,
      },
    });
  }
}

/** A book that differs from what the entries say by a factor, in whole numbers. */
export const bookTimes = (factor: number, priced: string) => (entry: LedgerEntry) => ({
  cost: { ...entry.cost, price: microUsd(Math.round(entry.cost.price * factor)) },
  priced,
});

/** The entry with this number: its request, its time and its figures follow from it. */
export const numbered = (number: number): LedgerEntry =>
  entryWith({
    request: `n${number}`,
    at: JANUARY + number * 1000,
    uj: number,
    price: number * 3,
    key: `key-${number % 5}`,
  });
