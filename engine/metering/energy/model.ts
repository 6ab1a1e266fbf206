/**
 * Energy by arithmetic, where no counter is: watts at rest and watts per busy thread, along a line through up to a few known
 * loads. What else runs on the machine is not seen, which is part of why the interval is wide.
 */
import { type Energy, type EnergyTier, microjoules } from "../../core/energy.ts";
import type { EnergyModel, Stretch } from "./source.ts";

/** A load at which somebody knows the power. */
export interface Load {
  readonly busyThreads: number;
  readonly watts: number;
}

/** Of the figure: a 90 % interval from `below` under it to `above` over it. 0.4 is 40 %. */
export interface Spread {
  readonly below: number;
  readonly above: number;
}

export interface ModelParts {
  readonly name: string;
  readonly tier: EnergyTier;
  /** From the least to the most busy threads; at least one. Outside of them the nearest holds. */
  readonly loads: readonly Load[];
  readonly spread: Spread;
}

/** Throws RangeError for loads that are not in order, or not of 0 or more. */
export class PowerModel implements EnergyModel {
  readonly name: string;
  readonly tier: EnergyTier;
  readonly spread: Spread;
  readonly #loads: readonly Load[];

  constructor({ name, tier, loads, spread }: ModelParts) {
    const ordered = loads.every(
      ({ busyThreads, watts }, index) =>
        busyThreads >= 0 && watts >= 0 && busyThreads > (loads[index - 1]?.busyThreads ?? -1),
    );
    if (loads.length === 0 || !ordered) throw new RangeError("a model's loads are in order, of 0 W or more");
    this.name = name;
    this.tier = tier;
    this.spread = spread;
    this.#loads = loads;
  }

  watts(busyThreads: number): number {
    const loads = this.#loads;
    let before = loads[0] as Load;
    if (busyThreads <= before.busyThreads) return before.watts;
    for (let index = 1; index < loads.length; index += 1) {
      const next = loads[index] as Load;
      if (busyThreads <= next.busyThreads) {
        const share = (busyThreads - before.busyThreads) / (next.busyThreads - before.busyThreads);
        return before.watts + share * (next.watts - before.watts);
      }
      before = next;
    }
    return before.watts;
  }

  energyOf({ since, at, busyThreadMs }: Stretch): Energy {
    const busy = Math.max(0, busyThreadMs) || 0;
    const most = (this.#loads.at(-1) as Load).busyThreads;
    // By a clock that went back no time passed; the work that was done took some all the same.
    const elapsed = at > since ? at - since : busy / Math.max(1, most);
    if (!(elapsed > 0)) return this.#energy(0);
    return this.#energy(this.watts(busy / elapsed) * elapsed * 1000);
  }

  #energy(uj: number): Energy {
    const { below, above } = this.spread;
    return {
      uj: microjoules(Math.round(uj)),
      lowUj: microjoules(Math.floor(uj * (1 - below))),
      highUj: microjoules(Math.ceil(uj * (1 + above))),
      tier: this.tier,
    };
  }
}

/** What `weir meter calibrate` found. */
export interface Calibration {
  /** Idle first, all threads last. */
  readonly loads: readonly Load[];
  /** How far two passes over the same loads were apart, as a share. */
  readonly residual: number;
}

/**
 * Loops are not matrix products: vector units take more power at the same busy time, hence more above than below. A machine
 * whose two passes differ is known no better than that.
 */
const CALIBRATED: Spread = { below: 0.2, above: 0.3 };

export const calibratedModel = ({ loads, residual }: Calibration): PowerModel =>
  new PowerModel({
    name: "calibrated model",
    tier: "calibrated",
    loads,
    spread: {
      below: Math.min(0.95, Math.max(CALIBRATED.below, 2 * residual)),
      above: Math.max(CALIBRATED.above, 2 * residual),
    },
  });

/** Watts that somebody wrote down, such as `power` in site.yaml. */
export interface DeclaredPower {
  readonly idleWatts: number | undefined;
  /** With all threads busy: rated power (TDP) for want of anything better. */
  readonly busyWatts: number | undefined;
}

/**
 * Per logical processor, of a whole server with its memory: means over the processors of one large cloud, from SPECpower
 * results (Cloud Carbon Footprint, "Methodology", average minimum and maximum watts of AWS).
 */
const IDLE_WATTS_PER_THREAD = 0.74;
const FULL_WATTS_PER_THREAD = 3.5;

const DECLARED: Spread = { below: 0.4, above: 0.6 };
/** Published means of single processor families go from 0.45 to 1.9 W at rest and from 1.6 to 6 W at full load. */
const ASSUMED: Spread = { below: 0.55, above: 1.5 };

/**
 * Declared power by utilisation. Of what is not declared the usual share is taken: the model is as sure as its worse half.
 * `threads`: logical processors.
 */
export function declaredModel({ idleWatts, busyWatts }: DeclaredPower, threads: number): PowerModel {
  const all = Math.max(1, threads);
  const assumedIdle = IDLE_WATTS_PER_THREAD * all;
  const assumedBusy = FULL_WATTS_PER_THREAD * all;
  const busy = busyWatts ?? Math.max(assumedBusy, idleWatts ?? 0);
  const idle = Math.min(busy, idleWatts ?? busy * (assumedIdle / assumedBusy));
  return new PowerModel({
    name: busyWatts === undefined && idleWatts === undefined ? "assumed power" : "declared power",
    tier: "declared",
    loads: [
      { busyThreads: 0, watts: idle },
      { busyThreads: all, watts: busy },
    ],
    spread: busyWatts === undefined ? ASSUMED : DECLARED,
  });
}

/** A GPU whose counter cannot be read takes something between rest and its limit, and nobody knows what. */
export const gpuModel = (limitWatts: number): PowerModel =>
  new PowerModel({
    name: "power limit",
    tier: "declared",
    loads: [{ busyThreads: 0, watts: limitWatts / 2 }],
    spread: { below: 0.9, above: 1 },
  });
