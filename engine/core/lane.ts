/** A replica of a model on a device: one session, one KV arena, one step at a time. */
import type { StepOutcome, StepPlan } from "./step.ts";

export interface Lane {
  /** Never rejects: a failed step is an outcome. Called again only after the last call settled. */
  run(plan: StepPlan): Promise<StepOutcome>;
  /** Starts again after an outcome with `slotsIntact: false`; all slots are empty afterwards. Rejects if it cannot. */
  revive(): Promise<void>;
  close(): Promise<void>;
}
