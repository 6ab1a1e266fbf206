/** Counters of the hardware as a source: one or more of them, read together, that add up. */
import { type Energy, microjoules } from "../../core/energy.ts";
import { type CounterFacts, readWithinMs, WrappingCounter } from "./counter.ts";
import type { EnergySource, Reading, Stretch } from "./source.ts";

export interface MeasuredPart {
  /** For people. */
  readonly name: string;
  readonly facts: CounterFacts;
  readonly ujPerCount: number;
  /** 90 % of the time it is no further from the truth than this share. */
  readonly error: number;
  /** What it shows; undefined where that is no number. Throws where it cannot be read any more. */
  show(): number | undefined;
}

interface Counted {
  readonly part: MeasuredPart;
  readonly counter: WrappingCounter;
}

export class MeasuredSource implements EnergySource {
  readonly name: string;
  readonly tier = "measured";
  readonly readWithinMs: number;
  readonly #parts: readonly Counted[];
  readonly #close: () => void;

  /** Throws where a part cannot be read. */
  constructor(name: string, parts: readonly MeasuredPart[], close: () => void) {
    this.name = name;
    this.#parts = parts.map((part) => ({ part, counter: new WrappingCounter(part.facts, part.show()) }));
    this.readWithinMs = Math.min(...parts.map((part) => readWithinMs(part.facts)));
    this.#close = close;
  }

  read(stretch: Stretch): Reading {
    let [uj, error] = [0, 0];
    let unknown: Extract<Reading, { kind: "unknown" }> | undefined;
    for (const { part, counter } of this.#parts) {
      let shown: number | undefined;
      try {
        shown = part.show();
      } catch (failure) {
        return { kind: "lost", reason: `${part.name} cannot be read any more (${why(failure)})` };
      }
      // All of them move on, also where one already said that it does not know.
      const advance = counter.advance(shown, stretch);
      if (advance.kind === "counted") {
        uj += advance.by * part.ujPerCount;
        error += advance.by * part.ujPerCount * part.error;
      } else {
        // An earlier beginning is for a counter that is alone: others said what they counted then.
        const from = this.#parts.length === 1 ? advance.stretch : stretch;
        unknown ??= { kind: "unknown", reason: `${part.name} ${advance.reason}`, stretch: from };
      }
    }
    return unknown ?? { kind: "energy", energy: measured(uj, error) };
  }

  close(): void {
    this.#close();
  }
}

const measured = (uj: number, error: number): Energy => ({
  uj: microjoules(uj),
  lowUj: microjoules(Math.floor(uj - error)),
  highUj: microjoules(Math.ceil(uj + error)),
  tier: "measured",
});

/** A code such as EACCES says it shortest. */
export const why = (failure: unknown): string =>
  (failure as NodeJS.ErrnoException).code ?? (failure instanceof Error ? failure.message : String(failure));
