/**
 * Whose energy it was: each step's, by what the scheduler planned and the lane did, to the sequences in it, and through them
 * to the requests. What belongs to no request (idle, and steps whose sequences had left) is kept apart, so that all of it
 * adds up to what the source said.
 */
import type { SequenceId } from "../core/brand.ts";
import { addEnergy, type Energy, NO_ENERGY } from "../core/energy.ts";
import type { LaneMeter } from "../core/lane-meter.ts";
import type { GenerationRequest } from "../core/request.ts";
import type { StepOutcome, StepPlan } from "../core/step.ts";
import { rowsOf, shares, splitEnergy } from "./attribute.ts";
import { StepFit } from "./step-fit.ts";
import { EnergyTimeline, type TimelinePorts } from "./timeline.ts";

/** What one generation has taken so far. */
export interface Spent {
  readonly energy: Energy;
  /** Its share of the time that the lane worked, in ms: the parts of a step add up to the step. */
  readonly laneMs: number;
}

const NOTHING_SPENT: Spent = { energy: NO_ENERGY, laneMs: 0 };

export class EnergyMeter {
  readonly #ports: TimelinePorts;
  readonly #timeline: EnergyTimeline<object>;
  readonly #spent = new WeakMap<GenerationRequest, Spent>();
  #overhead: Energy = NO_ENERGY;

  constructor(ports: TimelinePorts) {
    this.#ports = ports;
    this.#timeline = new EnergyTimeline(ports);
  }

  /** For one lane, which computes on so many threads. */
  laneMeter(threads: number): LaneMeter {
    const lane = {};
    const fit = new StepFit();
    const owners = new Map<SequenceId, GenerationRequest>();
    let beganAt: number | undefined;
    return {
      open: (sequence, request) => void owners.set(sequence, request),
      close: (sequence) => void owners.delete(sequence),
      begin: () => {
        beganAt = this.#ports.now();
        this.#timeline.begin(lane, threads);
      },
      end: (plan, outcome) => {
        const energy = this.#timeline.end(lane);
        const ms = beganAt === undefined ? 0 : Math.max(0, this.#ports.now() - beganAt);
        beganAt = undefined;
        this.#settle(plan, outcome, { energy, ms, fit, owners });
      },
    };
  }

  /** What the generation of this very request object has taken so far. */
  spentOn(request: GenerationRequest): Spent {
    return this.#spent.get(request) ?? NOTHING_SPENT;
  }

  /** Since the last call: what nobody worked for. */
  takeIdle(): Energy {
    return this.#timeline.takeIdle();
  }

  /** Since the last call: steps, or parts of them, whose requests had left before they ended. */
  takeOverhead(): Energy {
    const overhead = this.#overhead;
    this.#overhead = NO_ENERGY;
    return overhead;
  }

  #settle(plan: StepPlan, outcome: StepOutcome, step: Step): void {
    const rows = rowsOf(plan);
    if (rows.length === 0) {
      this.#overhead = addEnergy(this.#overhead, step.energy);
      return;
    }
    if (outcome.kind === "done") step.fit.observe(rows, outcome.decodeMs + outcome.chunkMs);
    const weights = shares(rows, step.fit.coefficients);
    const all = weights.reduce((sum, weight) => sum + weight, 0);
    for (const [index, energy] of splitEnergy(step.energy, weights).entries()) {
      const row = rows[index];
      const request = row === undefined ? undefined : step.owners.get(row.sequence);
      if (request === undefined) {
        this.#overhead = addEnergy(this.#overhead, energy);
        continue;
      }
      const before = this.spentOn(request);
      const laneMs = before.laneMs + (step.ms * (weights[index] ?? 0)) / all;
      this.#spent.set(request, { energy: addEnergy(before.energy, energy), laneMs });
    }
  }
}

interface Step {
  readonly energy: Energy;
  readonly ms: number;
  readonly fit: StepFit;
  readonly owners: ReadonlyMap<SequenceId, GenerationRequest>;
}
