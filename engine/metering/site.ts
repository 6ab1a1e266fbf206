/**
 * What work in the house costs: its energy at the tariff of its hours, with the building's share, and the hardware by the time
 * that it worked. Pure and exact: hours, changes of the clock and changes of an exchange rate inside a stretch are weighed by
 * the millisecond, as fractions, and a line is rounded once.
 *
 * A line may cost one or two micro-dollars, so rounding each by itself would be off by much, always to the same side. That is
 * what a carry is for: what rounding leaves over goes to the next line, and the lines of a run then sum to the exact cost
 * within one micro-dollar, however finely the work is cut. The carry that went into a line stands in its `priced`, so that the
 * line can be priced again by itself, to the same bits.
 */
import type { Energy } from "../core/energy.ts";
import { type CostParts, microUsd } from "../core/ledger.ts";
import { divideHalfUp } from "./decimal.ts";
import { inForce, type RateRow } from "./prices.ts";
import { type HourOfWeek, QUARTER_MS } from "./week-hours.ts";

export interface Site {
  /** `default`, or the beginning of the hash of what the file says. */
  readonly version: string;
  readonly hourOfWeek: HourOfWeek;
  /** 10^-9 of the currency a kWh, for each of the 168 hours of the week. */
  readonly tariff: readonly number[];
  /** Energy of the building for the energy of its machines, in millionths. */
  readonly pueMicro: number;
  /** Milligrams of CO2 equivalent a kWh, for each hour of the week. */
  readonly carbon: readonly number[];
  /** 10^-12 of the currency for an hour of work. */
  readonly hardwarePicoPerHour: bigint;
  /** Of its currency; at least one, the earliest first, which holds for all time before it too. */
  readonly rates: readonly RateRow[];
  /** What somebody says that the machines draw, in watts. */
  readonly power: { readonly idleWatts: number | undefined; readonly busyWatts: number | undefined };
}

/** One line's work. */
export interface Stretch {
  readonly energy: Energy;
  /** Wall time, in milliseconds since 1970; the work is taken to be spread evenly between them. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Time that the hardware worked for this, in ms: of a shared step its share. 0 for idle time. */
  readonly busyMs: number;
}

/** What rounding has left over, in 10^-12 dollars: 0 to 999,999 each. */
export interface CostCarry {
  readonly energy: number;
  readonly hardware: number;
}

const PICO_PER_MICRO = 1_000_000n;
/** To begin with: what comes out of it is rounded half up. */
export const FIRST_CARRY: CostCarry = { energy: 500_000, hardware: 500_000 };
/** Of a longer stretch only the hours of its last year are looked at. */
const WEIGHED_MS_MAX = 366 * 86_400_000;

/** A line by itself, each part rounded half up. */
export const localCost = (site: Site, stretch: Stretch): CostParts =>
  carriedCost(site, stretch, FIRST_CARRY).cost;

/** A line in a row of lines: what the one before left over, in; what this one leaves, out. */
export function carriedCost(
  site: Site,
  stretch: Stretch,
  carry: CostCarry,
): { readonly cost: CostParts; readonly carry: CostCarry } {
  const exact = picoUsd(site, stretch);
  const energy = exact.energy + BigInt(carry.energy);
  const hardware = exact.hardware + BigInt(carry.hardware);
  return {
    cost: {
      price: microUsd(0),
      energy: microUsd(Number(energy / PICO_PER_MICRO)),
      hardware: microUsd(Number(hardware / PICO_PER_MICRO)),
    },
    carry: {
      energy: Number(energy % PICO_PER_MICRO),
      hardware: Number(hardware % PICO_PER_MICRO),
    },
  };
}

/** For the ledger's `priced`: `site:default`, `site:1f0c9a7e55d2+437112.20331`. */
export const sitePriced = (site: Site, carry: CostCarry = FIRST_CARRY): string =>
  carry.energy === FIRST_CARRY.energy && carry.hardware === FIRST_CARRY.hardware
    ? `site:${site.version}`
    : `site:${site.version}+${carry.energy}.${carry.hardware}`;

/** What `sitePriced` wrote down; undefined for anything else. */
export function carryOf(priced: string): { readonly version: string; readonly carry: CostCarry } | undefined {
  const [, version, energy, hardware] = /^site:([0-9a-z]+)(?:\+(\d{1,6})\.(\d{1,6}))?$/.exec(priced) ?? [];
  if (version === undefined) return undefined;
  return energy === undefined || hardware === undefined
    ? { version, carry: FIRST_CARRY }
    : { version, carry: { energy: Number(energy), hardware: Number(hardware) } };
}

/** Micrograms of CO2 equivalent, rounded half up: the energy, with the building's share, in its hours' grid. */
export function localCarbon(site: Site, stretch: Omit<Stretch, "busyMs">): number {
  const pieces = piecesOf(site, stretch);
  const length = pieces.reduce((sum, { ms }) => sum + ms, 0);
  const weighed = pieces.reduce((sum, { ms, hour }) => sum + BigInt(ms) * figure(site.carbon, hour), 0n);
  // Milligrams a kWh, which is 3.6 * 10^12 uJ, to micrograms; PUE in millionths.
  const dividend = BigInt(stretch.energy.uj) * BigInt(site.pueMicro) * weighed;
  return Number(divideHalfUp(dividend, BigInt(length) * 3_600_000_000_000_000n));
}

interface Fraction {
  readonly over: bigint;
  readonly under: bigint;
}
const NOTHING: Fraction = { over: 0n, under: 1n };
const plus = (a: Fraction, b: Fraction): Fraction =>
  a.under === b.under
    ? { over: a.over + b.over, under: a.under }
    : { over: a.over * b.under + b.over * a.under, under: a.under * b.under };

function picoUsd(site: Site, stretch: Stretch): { readonly energy: bigint; readonly hardware: bigint } {
  const pieces = piecesOf(site, stretch);
  const length = BigInt(pieces.reduce((sum, { ms }) => sum + ms, 0));
  const uj = BigInt(stretch.energy.uj) * BigInt(site.pueMicro);
  const busyUs = BigInt(Math.round(stretch.busyMs * 1000)) * site.hardwarePicoPerHour;
  let energy = NOTHING;
  let hardware = NOTHING;
  for (const rate of new Set(pieces.map((piece) => piece.rate))) {
    const under = length * BigInt(rate.nanoPerUsd);
    let atTariff = 0n;
    let time = 0n;
    for (const piece of pieces) {
      if (piece.rate !== rate) continue;
      atTariff += BigInt(piece.ms) * figure(site.tariff, piece.hour);
      time += BigInt(piece.ms);
    }
    // uJ to kWh is 3.6 * 10^12, us to hours 3.6 * 10^9; what remains are the units of tariff, PUE, hardware and rate.
    energy = plus(energy, { over: uj * atTariff, under: under * 3_600_000n });
    hardware = plus(hardware, { over: busyUs * time * 5n, under: under * 18n });
  }
  return {
    energy: divideHalfUp(energy.over, energy.under),
    hardware: divideHalfUp(hardware.over, hardware.under),
  };
}

const figure = (hours: readonly number[], hour: number): bigint => BigInt(hours[hour] ?? 0);

interface Piece {
  readonly ms: number;
  readonly hour: number;
  readonly rate: RateRow;
}

/** Pieces of time with one hour and one rate each, never none: a moment is a millisecond, and so is time that runs backwards. */
function piecesOf(site: Site, { fromMs, toMs }: Pick<Stretch, "fromMs" | "toMs">): readonly Piece[] {
  const end = Math.floor(toMs);
  const begin = Math.max(Math.min(Math.floor(fromMs), end - 1), end - WEIGHED_MS_MAX);
  const pieces: Piece[] = [];
  for (let at = begin; at < end; ) {
    const next = Math.min(end, (Math.floor(at / QUARTER_MS) + 1) * QUARTER_MS);
    const rate = inForce(site.rates, at) ?? (site.rates[0] as RateRow);
    pieces.push({ ms: next - at, hour: site.hourOfWeek(at), rate });
    at = next;
  }
  return pieces;
}

/** A machine, its figures in millionths. */
export interface Hardware {
  readonly priceMicro: number;
  /** The part of the price that it is worth in the end. */
  readonly residualMicro: number;
  readonly lifeYearsMicro: number;
  /** Expected to work. */
  readonly hoursAYearMicro: number;
}

/** 10^-12 of the currency for an hour of work of all of them: what they lose in value over the hours that they will work. */
export const hardwareRate = (machines: readonly Hardware[]): bigint =>
  machines.reduce(
    (sum, { priceMicro, residualMicro, lifeYearsMicro, hoursAYearMicro }) =>
      sum +
      divideHalfUp(
        BigInt(priceMicro) * BigInt(1_000_000 - residualMicro) * 1_000_000_000_000n,
        BigInt(lifeYearsMicro) * BigInt(hoursAYearMicro),
      ),
    0n,
  );
