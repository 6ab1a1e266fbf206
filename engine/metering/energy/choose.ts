/** The best that this machine offers, part by part, and why there is nothing better. */
import { addEnergy, type Energy, type EnergyTier, NO_ENERGY } from "../../core/energy.ts";
import { Chain, type SourceChange } from "./chain.ts";
import {
  type Calibration,
  calibratedModel,
  type DeclaredPower,
  declaredModel,
  gpuModel,
  type PowerModel,
} from "./model.ts";
import { type Gpus, openNvml } from "./nvml.ts";
import { openRapl } from "./rapl.ts";
import type { Activity, EnergySource, Found, Stretch } from "./source.ts";

export interface SourceChoice {
  /** Logical processors of the machine. */
  readonly threads: number;
  /** Of the clock's monotonic time in ms: what the first reading counts from. */
  readonly now: number;
  /** Of this machine; or why there is none. */
  readonly calibration: Calibration | { readonly missing: string };
  readonly declared: DeclaredPower;
  /** Said as it happens, for the log. */
  readonly onChange: (change: SourceChange) => void;
  /** Of the system; others in tests. */
  readonly powercap?: string;
  readonly nvmlLibrary?: string;
}

/** One way to know what a part takes; best first, and the first that is available is asked first. */
export interface Offer {
  readonly part: string;
  readonly name: string;
  readonly tier: EnergyTier;
  readonly available: boolean;
  /** Why not; or what there is to know about it; may be empty. */
  readonly detail: string;
  /** For a probe, in place of the machine's own `read`; undefined where it is not available. Says why it does not know. */
  readonly read: ((stretch: Stretch) => Energy | string) | undefined;
}

export class MachineEnergy {
  readonly offers: readonly Offer[];
  readonly #chains: readonly Chain[];
  readonly #closeLast: () => void;
  #since: number;

  constructor(offers: readonly Offer[], chains: readonly Chain[], since: number, closeLast: () => void) {
    this.offers = offers;
    this.#chains = chains;
    this.#since = since;
    this.#closeLast = closeLast;
  }

  /** Who answers for each part now, such as `processors: rapl`. */
  get names(): readonly string[] {
    return this.#chains.map(({ part, name }) => `${part}: ${name}`);
  }

  /** Where nothing happens for so long, in ms, read all the same: a counter could go round unseen. */
  get readWithinMs(): number {
    return Math.min(...this.#chains.map((chain) => chain.readWithinMs));
  }

  /** What the machine took since the reading before. Never throws, never negative. */
  read({ at, busyThreadMs }: Activity): Energy {
    const stretch = { since: this.#since, at, busyThreadMs };
    this.#since = at;
    let sum = NO_ENERGY;
    for (const chain of this.#chains) sum = addEnergy(sum, chain.energyOf(stretch));
    return sum;
  }

  close(): void {
    for (const chain of this.#chains) chain.close();
    this.#closeLast();
  }
}

/** Opens files and the driver's library; close it when done. */
export function chooseSource(choice: SourceChoice): MachineEnergy {
  const { now, onChange, powercap, nvmlLibrary } = choice;
  const rapl = openRapl(powercap);
  const gpus = openNvml(nvmlLibrary);
  const [modelOffers, model] = modelsOf(choice);
  const sources = rapl.kind === "open" ? [rapl.source] : [];
  const processors = new Chain({ part: PROCESSORS, sources, model, onChange });
  return new MachineEnergy(
    [measuredOffer(PROCESSORS, "rapl", rapl), ...modelOffers, ...gpuOffers(gpus)],
    [processors, ...gpuChains(gpus, onChange)],
    now,
    () => (gpus.kind === "open" ? gpus.source.close() : undefined),
  );
}

const PROCESSORS = "processors";

const measuredOffer = (part: string, name: string, found: Found<EnergySource>): Offer => ({
  part,
  name,
  tier: "measured",
  available: found.kind === "open",
  detail: found.kind === "open" ? found.notes.join("; ") : found.reason,
  read: found.kind === "open" ? (stretch) => readOnce(found.source, stretch) : undefined,
});

function readOnce(source: EnergySource, stretch: Stretch): Energy | string {
  const reading = source.read(stretch);
  return reading.kind === "energy" ? reading.energy : reading.reason;
}

const modelOffer = (part: string, model: PowerModel, detail: string): Offer => ({
  part,
  name: model.name,
  tier: model.tier,
  available: true,
  detail,
  read: (stretch) => model.energyOf(stretch),
});

const missingOffer = (part: string, name: string, tier: EnergyTier, detail: string): Offer => ({
  part,
  name,
  tier,
  available: false,
  detail,
  read: undefined,
});

function modelsOf({ calibration, declared, threads }: SourceChoice): readonly [readonly Offer[], PowerModel] {
  const assumed = declaredModel(declared, threads);
  const last = modelOffer(PROCESSORS, assumed, loadsOf(assumed, threads));
  if ("missing" in calibration)
    return [[missingOffer(PROCESSORS, "calibrated model", "calibrated", calibration.missing), last], assumed];
  const calibrated = calibratedModel(calibration);
  return [[modelOffer(PROCESSORS, calibrated, loadsOf(calibrated, threads)), last], calibrated];
}

const loadsOf = (model: PowerModel, threads: number): string => {
  const said = `${model.watts(0).toFixed(1)} W at rest, ${model.watts(threads).toFixed(1)} W with ${threads} busy threads`;
  return model.name === "assumed power" ? `${said}: nothing is declared` : said;
};

function gpuOffers(gpus: Found<Gpus>): readonly Offer[] {
  if (gpus.kind === "unavailable") return [missingOffer("gpus", "nvml", "measured", gpus.reason)];
  const offers = gpus.source.list.flatMap(({ name, uuid, limitWatts, counter }): readonly Offer[] => [
    { ...measuredOffer(name, "nvml", counter), ...(counter.kind === "open" ? { detail: uuid } : {}) },
    modelOffer(name, gpuModel(limitWatts), `between rest and ${limitWatts} W`),
  ]);
  return [...offers, ...gpus.notes.map((note) => missingOffer("gpus", "nvml", "measured", note))];
}

const gpuChains = (gpus: Found<Gpus>, onChange: SourceChoice["onChange"]): readonly Chain[] =>
  gpus.kind === "unavailable"
    ? []
    : gpus.source.list.map(({ name, limitWatts, counter }) => {
        const sources = counter.kind === "open" ? [counter.source] : [];
        return new Chain({ part: name, sources, model: gpuModel(limitWatts), onChange });
      });
