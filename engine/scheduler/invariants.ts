/** What must hold of a scheduler at any time, as a pure function over its snapshot: one sentence for each breach. */
import type { LaneLimits } from "../core/limits.ts";
import type { SequenceView } from "../core/sequence.ts";
import { RETRIES_MAX } from "./live-sequence.ts";

export interface SchedulerSnapshot {
  readonly limits: LaneLimits;
  /** True between next() and settle(): then the running rows stand packed. */
  readonly stepping: boolean;
  readonly slotsUsed: number;
  /** Positions that hold keys and values, over all slots. */
  readonly tokensCached: number;
  /** Positions that there are. */
  readonly tokensCapacity: number;
  /** In no particular order. */
  readonly waiting: readonly SequenceView[];
  /** Rows that decode. */
  readonly running: readonly SequenceView[];
  readonly prefilling: SequenceView | undefined;
}

export function violations(snapshot: SchedulerSnapshot): readonly string[] {
  const holders = [...snapshot.running, ...(snapshot.prefilling === undefined ? [] : [snapshot.prefilling])];
  const all = [...snapshot.waiting, ...holders];
  return [
    ...(new Set(all.map((view) => view.id)).size === all.length ? [] : ["a sequence stands in two places"]),
    ...totals(snapshot, holders),
    ...slotBreaches(snapshot, holders),
    ...snapshot.waiting.flatMap((view) =>
      expect(view, view.phase.kind === "waiting" && view.computed === 0, "waits"),
    ),
    ...snapshot.running.flatMap(runningBreaches),
    ...(snapshot.prefilling === undefined ? [] : prefillingBreaches(snapshot.prefilling)),
    ...all.flatMap((view) => boundBreaches(view, snapshot.limits)),
  ];
}

function totals(snapshot: SchedulerSnapshot, holders: readonly SequenceView[]): readonly string[] {
  const { limits } = snapshot;
  const cached = holders.reduce((sum, view) => sum + view.computed, 0);
  return [
    ...(snapshot.slotsUsed === holders.length ? [] : ["the slots used are not the sequences that hold one"]),
    ...(holders.length <= limits.rowsMax ? [] : [`${holders.length} sequences hold ${limits.rowsMax} slots`]),
    ...(snapshot.tokensCached === cached ? [] : ["the cached tokens do not add up"]),
    ...(cached <= snapshot.tokensCapacity ? [] : ["more tokens are cached than there is room for"]),
    ...(snapshot.waiting.length + holders.length <= limits.waitingMax + limits.rowsMax
      ? []
      : ["too many are waiting"]),
  ];
}

function slotBreaches(snapshot: SchedulerSnapshot, holders: readonly SequenceView[]): readonly string[] {
  const slots = holders.map((view) => (view.phase.kind === "waiting" ? -1 : view.phase.slot));
  const outside = slots.some((slot) => slot < 0 || slot >= snapshot.limits.rowsMax);
  const packed =
    snapshot.running.every((_, index) => slots.includes(index as never)) && !prefillInFront(snapshot);
  return [
    ...(new Set(slots).size === slots.length ? [] : ["a slot has two owners"]),
    ...(outside ? ["a sequence holds a slot that does not exist"] : []),
    ...(!snapshot.stepping || packed ? [] : ["the running rows are not packed in front"]),
  ];
}

function prefillInFront(snapshot: SchedulerSnapshot): boolean {
  const phase = snapshot.prefilling?.phase;
  return phase !== undefined && phase.kind !== "waiting" && phase.slot < snapshot.running.length;
}

const runningBreaches = (view: SequenceView): readonly string[] => [
  ...expect(view, view.phase.kind === "running", "runs"),
  ...expect(view, view.answerTokens >= 1 && left(view) === 1, "has exactly its last token left to compute"),
];

const prefillingBreaches = (view: SequenceView): readonly string[] => [
  ...expect(view, view.phase.kind === "prefilling", "is prefilling"),
  ...expect(view, view.answerTokens === 0 && left(view) >= 1, "has prompt left and no answer"),
];

function boundBreaches(view: SequenceView, limits: LaneLimits): readonly string[] {
  return [
    ...expect(view, view.computed >= 0 && left(view) >= 0, "computed no more tokens than it has"),
    ...expect(view, view.promptTokens + view.answerTokens <= limits.slotTokens, "fits its slot"),
    ...expect(view, view.answerTokens < Math.max(1, view.answerMax), "ends once its answer is full"),
    ...expect(view, view.retries <= RETRIES_MAX, "is not retried forever"),
  ];
}

const left = (view: SequenceView): number => view.promptTokens + view.answerTokens - view.computed;

const expect = (view: SequenceView, holds: boolean, what: string): readonly string[] =>
  holds ? [] : [`it does not hold that sequence ${view.id} ${what}: ${JSON.stringify(view)}`];
