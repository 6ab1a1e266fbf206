/**
 * The machine's energy over time, cut where lanes begin and end steps: what fell between two cuts belongs to the lanes that
 * worked then, by their threads, or to nobody (idle). Nothing is lost and nothing is counted twice: what all lanes were given
 * and what was idle add up to what the source said.
 */
import { addEnergy, type Energy, NO_ENERGY } from "../core/energy.ts";
import { splitEnergy } from "./attribute.ts";

/** What a source of energy is told at each reading. */
export interface Activity {
  /** Now, of the clock's monotonic time in ms. */
  readonly at: number;
  /** Time that threads were busy since the last reading, of all together, in ms. */
  readonly busyThreadMs: number;
}

export interface TimelinePorts {
  /** Ms of the clock's monotonic time. */
  readonly now: () => number;
  /** What the machine took since the last reading. Never throws, and says by its tier how it is known. */
  readonly read: (activity: Activity) => Energy;
}

interface Worker {
  readonly threads: number;
  energy: Energy;
}

export class EnergyTimeline<Lane extends object> {
  readonly #ports: TimelinePorts;
  readonly #working = new Map<Lane, Worker>();
  #lastAt: number;
  #idle: Energy = NO_ENERGY;

  constructor(ports: TimelinePorts) {
    this.#ports = ports;
    this.#lastAt = ports.now();
  }

  /** The lane begins a step on so many threads. */
  begin(lane: Lane, threads: number): void {
    this.#cut();
    this.#working.set(lane, { threads, energy: NO_ENERGY });
  }

  /** The lane's step is done: what fell to it. Nothing for a lane that had not begun. */
  end(lane: Lane): Energy {
    this.#cut();
    const worker = this.#working.get(lane);
    this.#working.delete(lane);
    return worker?.energy ?? NO_ENERGY;
  }

  /** What nobody worked for since the last call; to be asked for from time to time, so that long silences are cut. */
  takeIdle(): Energy {
    this.#cut();
    const idle = this.#idle;
    this.#idle = NO_ENERGY;
    return idle;
  }

  #cut(): void {
    const at = this.#ports.now();
    const workers = [...this.#working.values()];
    const threads = workers.reduce((sum, worker) => sum + worker.threads, 0);
    const busyThreadMs = Math.max(0, at - this.#lastAt) * threads;
    this.#lastAt = at;
    const energy = this.#ports.read({ at, busyThreadMs });
    if (workers.length === 0) {
      this.#idle = addEnergy(this.#idle, energy);
      return;
    }
    const parts = splitEnergy(
      energy,
      workers.map((worker) => worker.threads),
    );
    for (const [index, worker] of workers.entries())
      worker.energy = addEnergy(worker.energy, parts[index] ?? NO_ENERGY);
  }
}
