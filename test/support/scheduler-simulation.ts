/**
 * One seeded run of the real scheduler against an arena model, with clients that come, leave, stop and time
 * out, and steps that fail, hang or lose the lane. Throws on the first thing that is wrong; the same seed
 * does the same again.
 */

import type { SequenceId, StepId, TokenId } from "../../engine/core/brand.ts";
import { tokenId } from "../../engine/core/brand.ts";
import type { FinishReason } from "../../engine/core/generator.ts";
import type { LaneLimits } from "../../engine/core/limits.ts";
import type { NewSequence, SchedulerEvent, SequenceTimes } from "../../engine/core/sequence.ts";
import type { StepOutcome, StepPlan } from "../../engine/core/step.ts";
import { violations } from "../../engine/scheduler/invariants.ts";
import { Scheduler } from "../../engine/scheduler/scheduler.ts";
import { Chance } from "./chance.ts";
import { FakeClock } from "./fake-clock.ts";
import { ArenaModel, answerAlone, END_TOKEN } from "./scheduler-arena.ts";
import { newSequence } from "./scheduler-build.ts";

/** How large a run is. */
export interface Scale {
  readonly requestsMax: number;
  readonly rowsMax: number;
  readonly slotTokens: number;
}

/** What happened, to see that a set of runs reached what it should. */
export interface Tally {
  steps: number;
  finishedStop: number;
  finishedLength: number;
  cancelled: number;
  cancelledInPrefill: number;
  stoppedOutside: number;
  timedOut: number;
  backendFailed: number;
  retried: number;
  refused: number;
  moves: number;
  promptEvents: number;
}

export const newTally = (): Tally => ({
  steps: 0,
  finishedStop: 0,
  finishedLength: 0,
  cancelled: 0,
  cancelledInPrefill: 0,
  stoppedOutside: 0,
  timedOut: 0,
  backendFailed: 0,
  retried: 0,
  refused: 0,
  moves: 0,
  promptEvents: 0,
});

interface Client {
  readonly request: NewSequence;
  /** Leaves after this many tokens (0: as soon as it is being computed); undefined stays. */
  readonly leavesAfter: number | undefined;
  /** Finds a stop string after this many tokens. */
  readonly stopsAfter: number | undefined;
  readonly tokens: TokenId[];
  end: "finished" | "failed" | "cancelled" | undefined;
}

export function simulate(seed: number, scale: Scale, tally: Tally): void {
  try {
    new Simulation(seed, scale, tally).run();
  } catch (error) {
    throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

class Simulation {
  readonly #chance: Chance;
  readonly #limits: LaneLimits;
  readonly #clock = new FakeClock();
  readonly #scheduler: Scheduler;
  readonly #arena: ArenaModel;
  readonly #clients = new Map<SequenceId, Client>();
  readonly #tally: Tally;
  /** One in so many steps fails; 0 = none in this run. */
  readonly #faultRate: number;
  #requestsLeft: number;

  constructor(seed: number, scale: Scale, tally: Tally) {
    this.#chance = new Chance(seed);
    this.#tally = tally;
    this.#limits = drawLimits(this.#chance, scale);
    this.#scheduler = new Scheduler(this.#clock, this.#limits);
    this.#arena = new ArenaModel(this.#limits.rowsMax, this.#limits.slotTokens);
    this.#faultRate = this.#chance.oneIn(3) ? this.#chance.between(2, 20) : 0;
    this.#requestsLeft = this.#chance.between(1, scale.requestsMax);
  }

  run(): void {
    for (let turns = 0; this.#requestsLeft > 0 || !this.#scheduler.idle; turns += 1) {
      must(turns < 20_000, "the run does not end");
      this.#arrive();
      this.#leave();
      const plan = this.#scheduler.next();
      this.#inspect();
      if (plan === undefined) {
        this.#publish(this.#scheduler.takeEvents());
        must(this.#scheduler.idle, "nothing is planned although sequences are left");
        this.#clock.advance(this.#chance.between(0, 5));
        continue;
      }
      this.#step(plan);
    }
    this.#publish(this.#scheduler.takeEvents());
    for (const [id, client] of this.#clients) must(client.end !== undefined, `sequence ${id} never ended`);
    must(this.#scheduler.snapshot().tokensCached === 0, "tokens are cached for nobody");
  }

  #step(plan: StepPlan): void {
    this.#tally.steps += 1;
    this.#tally.moves += plan.moves.length;
    const outcome = this.#outcome(plan);
    if (this.#chance.oneIn(4)) this.#arrive();
    if (this.#chance.oneIn(4)) this.#leave();
    this.#publish(this.#scheduler.settle(plan, outcome));
    this.#inspect();
    const { openCount } = this.#arena;
    must(
      openCount <= this.#limits.rowsMax,
      `the worker keeps ${openCount} sequences, some were never closed`,
    );
  }

  #outcome(plan: StepPlan): StepOutcome {
    const { step } = plan;
    const fails = this.#faultRate > 0 && this.#chance.oneIn(this.#faultRate);
    this.#clock.advance(this.#chance.oneIn(50) ? 400 : this.#chance.between(1, 10));
    if (!fails || this.#chance.oneIn(2)) {
      const result = this.#arena.run(plan); // a failing step may well have done its work
      if (!fails) return { kind: "done", step, ...result, ...this.#times(plan) };
    }
    return this.#failure(step);
  }

  #failure(step: StepId): StepOutcome {
    const slotsIntact = this.#chance.oneIn(2);
    if (!slotsIntact) this.#arena.reset();
    return { kind: "failed", step, slotsIntact, message: "a fault of the test" };
  }

  #times(plan: StepPlan): { readonly decodeMs: number; readonly chunkMs: number } {
    const noise = this.#chance.oneIn(30) ? 20 : 1;
    const decodeMs = plan.decode.length === 0 ? 0 : (9 + 1.6 * plan.decode.length) * noise;
    return { decodeMs, chunkMs: plan.chunk === undefined ? 0 : 3 + 1.3 * plan.chunk.tokens.length };
  }

  #arrive(): void {
    while (this.#requestsLeft > 0 && this.#chance.oneIn(2)) {
      this.#requestsLeft -= 1;
      const request = drawRequest(this.#chance, this.#limits);
      const admission = this.#scheduler.add(request);
      if (admission.kind === "full") {
        this.#tally.refused += 1;
        must(
          admission.retryAfterMs >= 50 && admission.retryAfterMs <= 60_000,
          "retryAfterMs is out of its range",
        );
        continue;
      }
      must(!this.#clients.has(admission.id), `the id ${admission.id} was given twice`);
      const leavesAfter = this.#chance.oneIn(6) ? this.#chance.between(0, 6) : undefined;
      const stopsAfter = this.#chance.oneIn(6) ? this.#chance.between(1, 8) : undefined;
      this.#clients.set(admission.id, { request, leavesAfter, stopsAfter, tokens: [], end: undefined });
    }
  }

  /** Some client may leave at any moment: while waiting, in the middle of its prompt, in the middle of its answer. */
  #leave(): void {
    if (!this.#chance.oneIn(3)) return;
    const { prefilling } = this.#scheduler.snapshot();
    for (const [id, client] of this.#clients) {
      if (client.end !== undefined || client.leavesAfter === undefined) continue;
      const inPrefill = prefilling?.id === id && prefilling.computed > 0;
      if (client.tokens.length < client.leavesAfter || (client.leavesAfter === 0 && !inPrefill)) continue;
      this.#scheduler.cancel(id);
      this.#scheduler.cancel(id);
      client.end = "cancelled";
      this.#tally.cancelled += 1;
      if (inPrefill) this.#tally.cancelledInPrefill += 1;
    }
  }

  #inspect(): void {
    const snapshot = this.#scheduler.snapshot();
    const found = violations(snapshot);
    must(found.length === 0, found.join("; "));
    this.#tally.retried += snapshot.waiting.filter((view) => view.retries > 0).length;
  }

  #publish(events: readonly SchedulerEvent[]): void {
    for (const event of events) {
      const client = this.#clients.get(event.sequence);
      if (client === undefined) throw new Error(`an event of the unknown sequence ${event.sequence}`);
      must(client.end === undefined, `sequence ${event.sequence} has ended, but then came ${event.kind}`);
      this.#receive(client, event);
    }
  }

  #receive(client: Client, event: SchedulerEvent): void {
    switch (event.kind) {
      case "token":
        must(
          event.index === client.tokens.length,
          `token ${event.index} came at place ${client.tokens.length}`,
        );
        client.tokens.push(event.token);
        if (client.tokens.length === client.stopsAfter) this.#scheduler.stop(event.sequence);
        return;
      case "prompt": {
        this.#tally.promptEvents += 1;
        must(client.tokens.length === 0, "the prompt's scores came after the first token");
        const got = event.scored.map((scored) => scored.token);
        must(String(got) === String(client.request.prompt.slice(1)), `the prompt's scores are of ${got}`);
        return;
      }
      case "finished":
        client.end = "finished";
        this.#judge(client, event.reason, event.times);
        return;
      case "failed":
        client.end = "failed";
        this.#judgeFailure(client, event.code);
    }
  }

  #judge(client: Client, reason: FinishReason, times: SequenceTimes): void {
    const { request, tokens } = client;
    const max = Math.min(request.maxTokens, this.#limits.slotTokens - request.prompt.length);
    const alone = answerAlone(request.prompt, max, request.endTokens.length > 0);
    const stopped = client.stopsAfter !== undefined && tokens.length >= client.stopsAfter;
    const expected = stopped ? alone.slice(0, tokens.length) : alone;
    must(String(tokens) === String(expected), `got ${tokens}, alone it would be ${expected}`);
    const ended =
      request.endTokens.length > 0 && alone.at(-1) === END_TOKEN && tokens.length === alone.length;
    must(stopped || (reason === "stop") === ended, `the answer ends with ${reason}`);
    for (const [name, ms] of Object.entries(times)) must(ms >= 0, `${name} is ${ms}`);
    if (stopped) this.#tally.stoppedOutside += 1;
    if (reason === "stop") this.#tally.finishedStop += 1;
    else this.#tally.finishedLength += 1;
  }

  #judgeFailure(client: Client, code: string): void {
    const alone = answerAlone(client.request.prompt, client.tokens.length, false);
    must(
      String(client.tokens) === String(alone),
      `failed after ${client.tokens}, alone it would be ${alone}`,
    );
    if (code === "request_timeout") this.#tally.timedOut += 1;
    else if (code === "backend_failed" && this.#faultRate > 0) this.#tally.backendFailed += 1;
    else throw new Error(`failed with ${code}`);
  }
}

function drawLimits(chance: Chance, scale: Scale): LaneLimits {
  const rowsMax = chance.between(1, scale.rowsMax);
  const slotTokens = chance.between(4, scale.slotTokens);
  const chunkTokensMin = chance.between(1, 4);
  const chunkTokensMax = chunkTokensMin + chance.between(0, 16);
  return {
    rowsMax,
    slotTokens,
    chunkTokensMin,
    chunkTokensMax,
    stepTokensMax: Math.max(rowsMax, chunkTokensMax) + chance.between(0, 8),
    interTokenStretchMax: 2,
    waitingMax: chance.between(1, 6),
    agingMs: chance.between(1, 200),
    requestTimeoutMs: chance.oneIn(4) ? chance.between(20, 400) : 1_000_000,
  };
}

function drawRequest(chance: Chance, limits: LaneLimits): NewSequence {
  const length = chance.between(1, limits.slotTokens - 1);
  return newSequence({
    prompt: Array.from({ length }, () => tokenId(chance.between(2, 98))),
    maxTokens: chance.oneIn(10) ? 0 : chance.between(1, 16),
    endTokens: chance.oneIn(4) ? [] : [END_TOKEN],
    priority: chance.between(-1, 1),
    timeoutMs: chance.oneIn(8) ? chance.between(1, 200) : undefined,
    promptLogprobs: chance.oneIn(4) ? 2 : undefined,
  });
}

function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}
