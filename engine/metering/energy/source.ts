/**
 * Where figures of energy come from. A source is asked again and again; each time it answers for the stretch of time since
 * it was asked last, or says that it cannot know. It never guesses: for what it does not know, the next one is asked.
 */
import type { Energy, EnergyTier } from "../../core/energy.ts";

/** What a reader tells at each reading. */
export interface Activity {
  /** Now, of the clock's monotonic time in ms. */
  readonly at: number;
  /** Time that weir's threads were busy since the reading before, of all together, in ms. */
  readonly busyThreadMs: number;
}

/** The time from one reading to the next. `since` is after `at` where the clock went back. */
export interface Stretch extends Activity {
  readonly since: number;
}

export type Reading =
  | { readonly kind: "energy"; readonly energy: Energy }
  /** Not for this stretch, which may begin before the one that was asked for; perhaps for the next. */
  | { readonly kind: "unknown"; readonly reason: string; readonly stretch: Stretch }
  /** Not any more. */
  | { readonly kind: "lost"; readonly reason: string };

export interface EnergySource {
  /** For people, such as `rapl`. */
  readonly name: string;
  readonly tier: EnergyTier;
  /** Where more time than this passes between two readings, in ms, it may not know what was taken. */
  readonly readWithinMs: number;
  /** Synchronous and cheap. Never throws. */
  read(stretch: Stretch): Reading;
  close(): void;
}

/** The end of every chain: it knows little, but always something. */
export interface EnergyModel {
  readonly name: string;
  readonly tier: EnergyTier;
  energyOf(stretch: Stretch): Energy;
}

/** What came of looking for a source on this machine. The reason says what to do about it, where something can be done. */
export type Found<Source> =
  | { readonly kind: "open"; readonly source: Source; readonly notes: readonly string[] }
  | { readonly kind: "unavailable"; readonly reason: string };
