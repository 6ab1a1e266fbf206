/**
 * One part of the machine (its processors, or one GPU) and who says what it takes, best first. Where a source does not know,
 * the next one is asked for the very same time; at the end stands a model, so that there is always a figure, with a tier that
 * says how it is known.
 */
import type { Energy } from "../../core/energy.ts";
import type { EnergyModel, EnergySource, Reading, Stretch } from "./source.ts";

/** Said once when it begins, not at each reading. */
export interface SourceChange {
  /** `unknown`: for now; `lost`: until weir starts again; `back`: it is asked first again, and answers. */
  readonly kind: "unknown" | "lost" | "back";
  /** Such as `processors`. */
  readonly part: string;
  readonly source: string;
  /** Why, for people; empty where it is back. */
  readonly reason: string;
  /** Who answers now. */
  readonly instead: string;
}

interface Link {
  readonly source: EnergySource;
  state: "answers" | "unknown" | "lost";
}

export interface ChainParts {
  readonly part: string;
  /** Best first. They are closed with the chain. */
  readonly sources: readonly EnergySource[];
  readonly model: EnergyModel;
  readonly onChange: (change: SourceChange) => void;
}

export class Chain {
  readonly #parts: ChainParts;
  readonly #links: readonly Link[];

  constructor(parts: ChainParts) {
    this.#parts = parts;
    this.#links = parts.sources.map((source) => ({ source, state: "answers" }));
  }

  get part(): string {
    return this.#parts.part;
  }

  /** Who answers now. */
  get name(): string {
    return this.#first?.name ?? this.#parts.model.name;
  }

  /** Ms between two readings, so that nothing goes unmeasured. */
  get readWithinMs(): number {
    return Math.min(...this.#links.filter(open).map(({ source }) => source.readWithinMs));
  }

  energyOf(stretch: Stretch): Energy {
    let asked = stretch;
    let energy: Energy | undefined;
    const changes: Omit<SourceChange, "instead">[] = [];
    for (const link of this.#links) {
      if (link.state === "lost") continue;
      // All are read, so that each one's next answer is for the next stretch alone.
      const reading = link.source.read(stretch);
      const change = this.#noted(link, reading);
      if (change !== undefined) changes.push(change);
      if (energy !== undefined) continue;
      if (reading.kind === "energy" && asked === stretch) energy = reading.energy;
      else if (reading.kind === "unknown" && asked === stretch) asked = reading.stretch;
    }
    for (const change of changes) this.#parts.onChange({ ...change, instead: this.name });
    return energy ?? this.#parts.model.energyOf(asked);
  }

  close(): void {
    for (const link of this.#links.filter(open)) {
      link.state = "lost";
      link.source.close();
    }
  }

  get #first(): EnergySource | undefined {
    return this.#links.find(({ state }) => state === "answers")?.source;
  }

  #noted(link: Link, reading: Reading): Omit<SourceChange, "instead"> | undefined {
    const state = reading.kind === "energy" ? "answers" : reading.kind;
    if (state === link.state) return undefined;
    link.state = state;
    if (state === "lost") link.source.close();
    const { part } = this.#parts;
    const reason = reading.kind === "energy" ? "" : reading.reason;
    return { kind: state === "answers" ? "back" : state, part, source: link.source.name, reason };
  }
}

const open = ({ state }: Link): boolean => state !== "lost";
