/** Small limits and sequences for scheduler tests; a test names only what it is about. */
import { type SequenceId, sequenceId, type TokenId, tokenId } from "../../engine/core/brand.ts";
import type { LaneLimits } from "../../engine/core/limits.ts";
import type { NewSequence, SchedulerEvent } from "../../engine/core/sequence.ts";
import type { StepOutcome, StepPlan } from "../../engine/core/step.ts";
import { Scheduler } from "../../engine/scheduler/scheduler.ts";
import { FakeClock } from "./fake-clock.ts";
import { GREEDY } from "./requests.ts";

export const laneLimits = (some: Partial<LaneLimits> = {}): LaneLimits => ({
  rowsMax: 4,
  slotTokens: 64,
  stepTokensMax: 32,
  chunkTokensMax: 16,
  chunkTokensMin: 4,
  interTokenStretchMax: 2,
  waitingMax: 8,
  agingMs: 1_000,
  requestTimeoutMs: 600_000,
  ...some,
});

/** count tokens: first, first + 1, ... */
export const tokens = (count: number, first = 100): readonly TokenId[] =>
  Array.from({ length: count }, (_, index) => tokenId(first + index));

export const newSequence = (some: Partial<NewSequence> = {}): NewSequence => ({
  prompt: tokens(3),
  maxTokens: 4,
  minTokens: 0,
  sampling: GREEDY,
  endTokens: [],
  stopTokens: [],
  priority: 0,
  timeoutMs: undefined,
  logprobs: undefined,
  promptLogprobs: undefined,
  ...some,
});

/** A worker's good answer: every wanted token is `token`, every prompt score -1. */
export const done = (
  plan: StepPlan,
  some: { token?: number; decodeMs?: number; chunkMs?: number; shared?: boolean } = {},
): StepOutcome => {
  const token = tokenId(some.token ?? 7);
  const ids = [
    ...plan.decode.map((row) => row.sequence),
    ...(plan.chunk?.samples ? [plan.chunk.sequence] : []),
  ];
  const targets = plan.chunk?.score?.targets.filter((target) => target !== undefined) ?? [];
  return {
    kind: "done",
    step: plan.step,
    sampled: ids.map((id) => ({ sequence: sequenceId(id), token, scored: undefined })),
    scored: targets.map((target) => ({ token: target, logprob: -1, top: [] })),
    decodeMs: plan.decode.length === 0 ? 0 : (some.decodeMs ?? 10),
    chunkMs: plan.chunk === undefined ? 0 : (some.chunkMs ?? 10),
    ...(some.shared === undefined ? {} : { shared: some.shared }),
  };
};

export const failed = (plan: StepPlan, slotsIntact: boolean): StepOutcome => ({
  kind: "failed",
  step: plan.step,
  slotsIntact,
  message: "the kernel said no",
});

/** Runs whole steps until `enough` holds after one, or nothing is left. Returns all events. */
export function runSteps(
  scheduler: Scheduler,
  enough: () => boolean = () => false,
  stepsMax = 10_000,
): SchedulerEvent[] {
  const events: SchedulerEvent[] = [];
  for (let steps = 0; steps < stepsMax; steps += 1) {
    const plan = scheduler.next();
    if (plan === undefined) return [...events, ...scheduler.takeEvents()];
    events.push(...scheduler.settle(plan, done(plan)));
    if (enough()) return events;
  }
  throw new Error(`the scheduler was not done after ${stepsMax} steps`);
}

/** A scheduler with a clock that stands still, and shorthands to drive it. */
export const setUp = (some: Partial<LaneLimits> = {}) => {
  const clock = new FakeClock();
  const scheduler = new Scheduler(clock, laneLimits(some));
  const add = (sequence: Partial<NewSequence> = {}): SequenceId => {
    const admission = scheduler.add(newSequence(sequence));
    if (admission.kind === "full") throw new Error("the queue was full");
    return admission.id;
  };
  /** One whole step; the next plan must exist. */
  const step = (
    some: Parameters<typeof done>[1] = {},
  ): { plan: StepPlan; events: readonly SchedulerEvent[] } => {
    const plan = mustPlan(scheduler);
    return { plan, events: scheduler.settle(plan, done(plan, some)) };
  };
  return { clock, scheduler, add, step };
};

/** The next plan, which must exist. */
export function mustPlan(scheduler: Scheduler): StepPlan {
  const plan = scheduler.next();
  if (plan === undefined) throw new Error("there was nothing to do");
  return plan;
}

export const of = (events: readonly SchedulerEvent[], id: SequenceId): readonly SchedulerEvent[] =>
  events.filter((event) => event.sequence === id);
export const kinds = (events: readonly SchedulerEvent[]): readonly string[] =>
  events.map((event) => event.kind);
