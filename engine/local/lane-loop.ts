/**
 * Drives one lane: next -> run -> settle -> publish, as long as there is work; sleeps when there is none. The only await
 * between two steps is the lane's own run.
 */
import type { Lane } from "../core/lane.ts";
import type { LaneMeter } from "../core/lane-meter.ts";
import type { SchedulerEvent } from "../core/sequence.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";

export interface LaneLoopPorts {
  readonly lane: Lane;
  readonly scheduler: Scheduler;
  /** Told of each step before its events are published: an answer that ends with it knows what it took. */
  readonly meter: Pick<LaneMeter, "begin" | "end">;
  readonly publish: (event: SchedulerEvent) => void;
  /** A step failed, or the lane was started again; for the log and the metrics. */
  readonly report: (incident: LaneIncident) => void;
  /** Called when the lane could not be started again: what waits for it should be told. The loop keeps trying. */
  readonly giveUp: (message: string) => void;
  /** Called when the lane begins to start again: time-outs are looked after until the result is disposed. */
  readonly watch: () => Disposable;
  /** Ends early, in either way, when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

export type LaneIncident =
  | { readonly kind: "step_failed"; readonly message: string; readonly slotsIntact: boolean }
  | { readonly kind: "revived"; readonly attempts: number }
  | { readonly kind: "revive_failed"; readonly attempts: number; readonly message: string };

/** Waits between attempts to start a lane again: doubled each time, up to this, in ms. */
const REVIVE_WAIT_MS_FIRST = 100;
const REVIVE_WAIT_MS_MAX = 10_000;
/** Attempts after which requests are told instead of kept waiting. */
const REVIVE_ATTEMPTS_QUIET = 3;

export class LaneLoop {
  readonly #ports: LaneLoopPorts;
  readonly #closing = new AbortController();
  #wake: (() => void) | undefined;
  readonly #ended: Promise<void>;

  constructor(ports: LaneLoopPorts) {
    this.#ports = ports;
    this.#ended = this.#drive();
  }

  /** Something was added to the scheduler, or changed in it. */
  wake(): void {
    this.#wake?.();
  }

  /** Ends after the step in flight; the lane itself is closed by its owner. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.wake();
    await this.#ended;
  }

  get #closed(): boolean {
    return this.#closing.signal.aborted;
  }

  async #drive(): Promise<void> {
    const { lane, scheduler, meter } = this.#ports;
    while (!this.#closed) {
      const plan = scheduler.next();
      // Time-outs, and the ends of those whose stop strings were found in what was just published.
      this.#publish(scheduler.takeEvents());
      if (plan === undefined) {
        await this.#idle();
        continue;
      }
      meter.begin();
      const outcome = await lane.run(plan);
      meter.end(plan, outcome);
      this.#publish(scheduler.settle(plan, outcome));
      if (outcome.kind === "failed") {
        this.#ports.report({
          kind: "step_failed",
          message: outcome.message,
          slotsIntact: outcome.slotsIntact,
        });
        if (!outcome.slotsIntact) await this.#revive();
      }
    }
  }

  #publish(events: readonly SchedulerEvent[]): void {
    for (const event of events) this.#ports.publish(event);
  }

  async #idle(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    if (this.#closed) resolve();
    await promise;
    this.#wake = undefined;
  }

  /** May take minutes, in which the scheduler is not asked for a step, and so ends nobody whose time is up. */
  async #revive(): Promise<void> {
    using _watch = this.#ports.watch();
    let wait = REVIVE_WAIT_MS_FIRST;
    for (let attempts = 1; !this.#closed; attempts += 1) {
      try {
        await this.#ports.lane.revive();
        this.#ports.report({ kind: "revived", attempts });
        return;
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        this.#ports.report({ kind: "revive_failed", attempts, message });
        if (attempts >= REVIVE_ATTEMPTS_QUIET) this.#ports.giveUp(message);
        await this.#ports.sleep(wait, this.#closing.signal).catch(() => undefined);
        wait = Math.min(2 * wait, REVIVE_WAIT_MS_MAX);
      }
    }
  }
}
