/** Watches a lane's steps, to know what they cost: the local engine tells it, engine/metering listens. */
import type { SequenceId } from "./brand.ts";
import type { GenerationRequest } from "./request.ts";
import type { StepOutcome, StepPlan } from "./step.ts";

export interface LaneMeter {
  /** What this sequence takes from here on is this request's. */
  open(sequence: SequenceId, request: GenerationRequest): void;
  /** The request has ended; a step that still holds its sequence is nobody's. */
  close(sequence: SequenceId): void;
  /** A step starts. */
  begin(): void;
  /** It ended, in whatever way. */
  end(plan: StepPlan, outcome: StepOutcome): void;
}

/** Where nobody asks for the cost. */
export const NO_LANE_METER: LaneMeter = {
  open: () => undefined,
  close: () => undefined,
  begin: () => undefined,
  end: () => undefined,
};
