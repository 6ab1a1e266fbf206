/**
 * Decides what one lane computes next. Pure and synchronous: no timer, no thread, time comes from the Clock.
 * The one writer of its sequences. The loop around it is
 *
 *     for (plan = next(); plan; plan = next()) publish(settle(plan, await lane.run(plan)));
 *     publish(takeEvents());
 *
 * Between next() and settle() a step is in flight; add, cancel and stop may be called at any time, and what
 * they change holds from the next step on. Rows join and leave at every step.
 */
import { assert } from "../core/assert.ts";
import { type SequenceId, sequenceId, slot, stepId } from "../core/brand.ts";
import type { Clock } from "../core/clock.ts";
import type { ErrorCode } from "../core/errors.ts";
import type { FinishReason } from "../core/generator.ts";
import { checkLaneLimits, type LaneLimits } from "../core/limits.ts";
import type { Admission, NewSequence, SchedulerEvent } from "../core/sequence.ts";
import type { PrefillChunk, SequenceOpening, SlotMove, StepOutcome, StepPlan } from "../core/step.ts";
import { ChunkSizer } from "./chunk-size.ts";
import { backendMessage, timeoutMessage } from "./failures.ts";
import { Heap } from "./heap.ts";
import type { SchedulerSnapshot } from "./invariants.ts";
import {
  answerTokens,
  createLive,
  type LiveSequence,
  RETRIES_MAX,
  rewind,
  slotOf,
  timesOf,
  viewOf,
} from "./live-sequence.ts";
import { decodeRow, opening, prefillChunk } from "./plan.ts";
import { ServiceRate } from "./service-rate.ts";
import { acceptChunk, acceptToken, type Done, type Failed, sampledInOrder } from "./settle.ts";
import { packRows } from "./slots.ts";
import { WaitingQueue } from "./waiting-queue.ts";

export class Scheduler {
  readonly #clock: Clock;
  readonly #limits: LaneLimits;
  readonly #live = new Map<SequenceId, LiveSequence>();
  readonly #waiting: WaitingQueue<LiveSequence>;
  readonly #deadlines: Heap<LiveSequence>;
  readonly #sizer: ChunkSizer;
  readonly #rate = new ServiceRate();
  #running: LiveSequence[] = [];
  /** True while running[i] stands in slot i. */
  #packed = true;
  #prefilling: LiveSequence | undefined;
  /** Sequences that the worker knows and should forget with the next plan. */
  #closings: SequenceId[] = [];
  #pending: SchedulerEvent[] = [];
  #inFlight: StepPlan | undefined;
  /** Sequences that ended, in whatever way, since the last step was settled. */
  #departed = 0;
  #ids = 0;
  #steps = 0;

  constructor(clock: Clock, limits: LaneLimits) {
    checkLaneLimits(limits);
    this.#clock = clock;
    this.#limits = limits;
    this.#sizer = new ChunkSizer(limits);
    this.#waiting = new WaitingQueue(limits.agingMs);
    this.#deadlines = new Heap(
      (a, b) => a.deadline < b.deadline || (a.deadline === b.deadline && a.id < b.id),
    );
  }

  /** True when no sequence is left; events may still be there to take. */
  get idle(): boolean {
    return this.#live.size === 0;
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Sequences that hold a slot. */
  get runningCount(): number {
    return this.#running.length + (this.#prefilling === undefined ? 0 : 1);
  }

  /** Those that a free slot is ready for do not count as waiting: waitingMax more are let in behind them. */
  add(sequence: NewSequence): Admission {
    const now = this.#clock.now();
    if (this.#live.size >= this.#limits.waitingMax + this.#limits.rowsMax) {
      return { kind: "full", retryAfterMs: this.#rate.refuse() };
    }
    if (this.idle) {
      this.#rate.begin(now);
      this.#departed = 0;
    }
    this.#ids += 1;
    const live = createLive(sequenceId(this.#ids), sequence, now, this.#limits);
    this.#live.set(live.id, live);
    this.#waiting.add(live);
    this.#deadlines.push(live);
    return { kind: "queued", id: live.id };
  }

  /** The caller no longer wants it: no event of it follows. Unknown and ended ids are ignored. */
  cancel(id: SequenceId): void {
    const live = this.#live.get(id);
    if (live !== undefined) this.#release(live);
    this.#pending = this.#pending.filter((event) => event.sequence !== id);
  }

  /** The caller found its end outside (a stop string): it finishes with `stop`; take the event with takeEvents(). */
  stop(id: SequenceId): void {
    const live = this.#live.get(id);
    if (live === undefined) return;
    this.#pending.push(this.#finish(live, "stop"));
  }

  /** What happened outside of a step: time-outs and stops. settle() returns these too, first. */
  takeEvents(): readonly SchedulerEvent[] {
    const events = this.#pending;
    this.#pending = [];
    return events;
  }

  /**
   * The next step, which then is in flight; undefined when there is nothing to do (takeEvents() may have
   * time-outs).
   */
  next(): StepPlan | undefined {
    assert(this.#inFlight === undefined, "next() was called again before the step in flight was settled");
    const now = this.#clock.now();
    this.#expire(now);
    const moves = this.#pack();
    const openings = this.#prefilling === undefined ? this.#start(now) : [];
    const decode = this.#running.map(decodeRow);
    const chunk =
      this.#prefilling === undefined ? undefined : this.#chunk(this.#prefilling, decode.length, now);
    if (decode.length === 0 && chunk === undefined) return undefined;
    const closings = this.#closings;
    this.#closings = [];
    this.#steps += 1;
    this.#inFlight = { step: stepId(this.#steps), closings, moves, openings, decode, chunk };
    return this.#inFlight;
  }

  settle(plan: StepPlan, outcome: StepOutcome): readonly SchedulerEvent[] {
    assert(plan === this.#inFlight, `step ${plan.step} is settled but it is not the one in flight`);
    assert(
      outcome.step === plan.step,
      `step ${plan.step} was settled with the outcome of step ${outcome.step}`,
    );
    this.#inFlight = undefined;
    const before = this.takeEvents();
    const events = outcome.kind === "done" ? this.#advance(plan, outcome) : this.#recover(plan, outcome);
    this.#rate.departed(this.#departed, this.#clock.now());
    this.#departed = 0;
    return before.length === 0 ? events : [...before, ...events];
  }

  snapshot(): SchedulerSnapshot {
    const running = this.#running.map(viewOf);
    const prefilling = this.#prefilling === undefined ? undefined : viewOf(this.#prefilling);
    return {
      limits: this.#limits,
      stepping: this.#inFlight !== undefined,
      slotsUsed: this.runningCount,
      tokensCached: running.reduce((sum, view) => sum + view.computed, prefilling?.computed ?? 0),
      tokensCapacity: this.#limits.rowsMax * this.#limits.slotTokens,
      waiting: this.#waiting.values().map(viewOf),
      running,
      prefilling,
    };
  }

  #expire(now: number): void {
    for (
      let late = this.#deadlines.peek();
      late !== undefined && late.deadline <= now;
      late = this.#deadlines.peek()
    ) {
      this.#pending.push(this.#fail(late, "request_timeout", timeoutMessage(late)));
    }
  }

  #pack(): readonly SlotMove[] {
    if (this.#packed) return [];
    const rows = this.#running.map((live) => ({
      id: live.id,
      slot: slotOf(live),
      computed: live.computed,
      live,
    }));
    const { order, moves } = packRows(rows);
    this.#running = order.map(({ live }) => live);
    for (const [index, live] of this.#running.entries()) live.phase = { kind: "running", slot: slot(index) };
    this.#packed = true;
    return moves;
  }

  /** Gives the first slot behind the rows to the head of the queue, if there is one of each. */
  #start(now: number): readonly SequenceOpening[] {
    if (this.#running.length >= this.#limits.rowsMax) return [];
    const live = this.#waiting.take();
    if (live === undefined) return [];
    live.phase = { kind: "prefilling", slot: slot(this.#running.length) };
    live.startedAt = now;
    this.#prefilling = live;
    return [opening(live)];
  }

  #chunk(live: LiveSequence, rows: number, now: number): PrefillChunk | undefined {
    const { prompt, promptLogprobs } = live.request;
    const scored = promptLogprobs !== undefined;
    const ask = {
      rows,
      prompt: prompt.length,
      start: live.computed,
      scored,
      queued: Math.min(this.waitingCount, this.#limits.rowsMax - rows - 1),
      elapsedMs: now - live.startedAt,
    };
    const count = this.#sizer.tokens(ask);
    return count === 0 ? undefined : prefillChunk(live, count);
  }

  #advance(plan: StepPlan, outcome: Done): readonly SchedulerEvent[] {
    const now = this.#clock.now();
    const sampled = sampledInOrder(plan, outcome);
    const events: SchedulerEvent[] = [];
    const end = (live: LiveSequence, reason: FinishReason | undefined): void => {
      if (reason !== undefined) events.push(this.#finish(live, reason));
    };
    for (const [index, token] of sampled.entries()) {
      const live = this.#live.get(token.sequence);
      if (live === undefined || index >= plan.decode.length) continue; // cancelled or stopped while the step ran
      live.computed += 1;
      end(live, acceptToken(live, token, now, events));
    }
    const { chunk } = plan;
    const prompt = chunk === undefined ? undefined : this.#live.get(chunk.sequence);
    if (chunk !== undefined && prompt !== undefined) {
      end(prompt, acceptChunk(prompt, chunk, outcome, events));
      const first = chunk.samples ? sampled.at(-1) : undefined;
      if (first !== undefined) {
        this.#join(prompt);
        end(prompt, acceptToken(prompt, first, now, events));
      }
    }
    this.#sizer.observe(plan, outcome);
    return events;
  }

  /** A prompt that is computed becomes a row; it is packed in front by the next step. */
  #join(live: LiveSequence): void {
    live.phase = { kind: "running", slot: slotOf(live) };
    this.#prefilling = undefined;
    this.#running.push(live);
    this.#packed = false;
  }

  /**
   * A failed step: what streamed nothing yet starts again from the queue, the rest fails. That concerns every
   * sequence with a slot, intact or not, since each of them takes part in every step.
   */
  #recover(plan: StepPlan, outcome: Failed): readonly SchedulerEvent[] {
    const holders = [...this.#running, ...(this.#prefilling === undefined ? [] : [this.#prefilling])];
    const events: SchedulerEvent[] = [];
    for (const live of holders) {
      if (answerTokens(live) === 0 && live.retries < RETRIES_MAX) this.#requeue(live);
      else events.push(this.#fail(live, "backend_failed", backendMessage(live, outcome.message)));
    }
    // Nobody knows how far the step came, so its closings are sent again; a lane that starts anew knows no sequence.
    this.#closings = outcome.slotsIntact ? [...new Set([...plan.closings, ...this.#closings])] : [];
    return events;
  }

  #requeue(live: LiveSequence): void {
    this.#vacate(live);
    rewind(live);
    this.#waiting.add(live);
  }

  #finish(live: LiveSequence, reason: FinishReason): SchedulerEvent {
    const times = timesOf(live, this.#clock.now());
    this.#release(live);
    return { kind: "finished", sequence: live.id, reason, times };
  }

  #fail(live: LiveSequence, code: ErrorCode, message: string): SchedulerEvent {
    this.#release(live);
    return { kind: "failed", sequence: live.id, code, message };
  }

  /** Ends a sequence, wherever it stands. */
  #release(live: LiveSequence): void {
    this.#live.delete(live.id);
    this.#departed += 1;
    this.#deadlines.remove(live);
    if (live.phase.kind === "waiting") this.#waiting.remove(live);
    else this.#vacate(live);
  }

  /** Takes a sequence out of its slot; the worker is told with the next plan. */
  #vacate(live: LiveSequence): void {
    if (this.#prefilling === live) {
      this.#prefilling = undefined;
    } else {
      this.#running.splice(this.#running.indexOf(live), 1);
      this.#packed = false;
    }
    this.#closings.push(live.id);
  }
}
