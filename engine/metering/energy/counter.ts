/**
 * What a counter of the hardware counted between two looks at it. It wraps at its range, is set back by suspending or by a
 * driver that is loaded again, stands still when its driver hangs. Where more than one story fits what is seen, the answer
 * is that it is not known; never a negative number, never a 0 for a counter that has stopped.
 *
 * Two things it cannot see, as nobody can: a reset right where a wrap was due (or one that has counted past the value before
 * it already), and a wrap that hides behind a clock that stood still. What the first gets wrong is bounded by `perMsMax`.
 */
import type { Stretch } from "./source.ts";

export interface CounterFacts {
  /** Its highest value; after it comes 0. Undefined: it never wraps, or nobody says when. */
  readonly range: number | undefined;
  /** More than this it cannot count in a millisecond: a generous bound on power, in the counter's unit. */
  readonly perMsMax: number;
  /** It moves in steps: what it shows may be this old, in ms. */
  readonly stepMs: number;
  /** One that has not moved for so long, in ms, is stuck: a machine that runs takes power. */
  readonly stillMsMax: number;
}

export type Advance =
  | { readonly kind: "counted"; readonly by: number }
  /** `stretch` begins earlier than the one asked for where the counter stood still before. */
  | { readonly kind: "unknown"; readonly reason: string; readonly stretch: Stretch };

/** A longer time between two looks may hide a second wrap. */
export const readWithinMs = ({ range, perMsMax, stepMs }: CounterFacts): number =>
  range === undefined ? Number.POSITIVE_INFINITY : Math.max(0, range / perMsMax - stepMs);

export class WrappingCounter {
  readonly #facts: CounterFacts;
  /** The last one that was a number. */
  #value: number | undefined;
  /** Whether what was counted since then has been called unknown. */
  #broken = false;
  /** How long it has shown the same value, and what was done meanwhile. */
  #still = { ms: 0, busyThreadMs: 0 };

  /** `value`: what it shows now. A range that is no positive number counts as none. */
  constructor(facts: CounterFacts, value: number | undefined) {
    const { range } = facts;
    const usable = range !== undefined && Number.isFinite(range) && range > 0;
    this.#facts = { ...facts, range: usable ? range : undefined };
    this.#value = this.#checked(value);
  }

  /** `value`: what it shows at the end of the stretch; undefined where that is no number. */
  advance(value: number | undefined, stretch: Stretch): Advance {
    const before = this.#value;
    const now = this.#checked(value);
    if (now === undefined) return this.#unknown("shows a value that it cannot have", stretch);
    this.#value = now;
    // What it did not show until now was covered by another source: its next step would count that again.
    if (now === before) return this.#standsStill(stretch);
    if (before === undefined || this.#broken) {
      const answer = this.#unknown("has no value before this one to go by", stretch);
      this.#broken = false;
      return answer;
    }
    const step = this.#step(before, now, stretch);
    if (typeof step === "string") {
      const answer = this.#unknown(step, stretch);
      this.#broken = false;
      return answer;
    }
    this.#still = { ms: 0, busyThreadMs: 0 };
    return { kind: "counted", by: step };
  }

  /** Or why it is not known. */
  #step(before: number, now: number, { since, at }: Stretch): number | string {
    if (!(at >= since)) return "was read by a clock that went back";
    const { range, perMsMax, stepMs } = this.#facts;
    // Since it moved last: one that stood still for a moment shows afterwards what it counted meanwhile.
    const ms = this.#still.ms + at - since;
    const most = perMsMax * (ms + stepMs);
    if (range !== undefined && most >= range)
      return `may have gone round more than once in ${(ms / 1000).toFixed(1)} s`;
    if (now < before && range === undefined) return "was set back";
    const by = now < before ? now - before + (range as number) : now - before;
    if (by <= most) return by;
    return now < before ? "was set back" : "jumped further than the hardware can take power";
  }

  /** Between two of its steps that is as it should be. */
  #standsStill(stretch: Stretch): Advance {
    const ms = this.#still.ms + stretch.at - stretch.since;
    const asItShould = stretch.at >= stretch.since && ms <= this.#facts.stillMsMax;
    if (this.#broken || !asItShould) return this.#unknown("stands still", stretch);
    this.#still = { ms, busyThreadMs: this.#still.busyThreadMs + stretch.busyThreadMs };
    return { kind: "counted", by: 0 };
  }

  /** While it stood still, 0 was said; so that time is unknown as well. */
  #unknown(reason: string, stretch: Stretch): Advance {
    const { ms, busyThreadMs } = this.#still;
    this.#still = { ms: 0, busyThreadMs: 0 };
    this.#broken = true;
    const longer = { since: stretch.since - ms, busyThreadMs: stretch.busyThreadMs + busyThreadMs };
    return { kind: "unknown", reason, stretch: ms === 0 ? stretch : { ...stretch, ...longer } };
  }

  #checked(value: number | undefined): number | undefined {
    const { range } = this.#facts;
    const possible =
      value !== undefined && Number.isSafeInteger(value) && value >= 0 && value <= (range ?? value);
    return possible ? value : undefined;
  }
}
