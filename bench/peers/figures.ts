/** From the rounds of all systems to one figure a cell: medians, spreads, and ratios taken round by round. */
import type { FigureLine } from "../support/results.ts";
import { median, rounded, roundedSpread, type Spread, spread } from "../support/stats.ts";
import type { Cell, Measured, System } from "./system.ts";

export interface SystemFigure {
  readonly engine: System["engine"];
  /** Tokens per second, all rows together. */
  readonly perSecond: Spread;
  /** The same inside the engine's own call, without threads, queues and JavaScript; null = not known. */
  readonly insidePerSecond: number | null;
  /** Tokens per second, round by round. */
  readonly rounds: readonly number[];
}

export interface PeersFigure extends FigureLine {
  readonly cell: Cell;
  readonly systems: Readonly<Record<string, SystemFigure>>;
  /** The llama.cpp whose median is the highest here. */
  readonly bestLlama: string;
  /** Each weir over that one, round by round. */
  readonly ratios: Readonly<Record<string, Spread>>;
}

export type Sampled = readonly { readonly system: System; readonly rounds: readonly Measured[] }[];

export function figureOf(run: string, cell: Cell, sampled: Sampled): PeersFigure {
  const rates = ({ rounds }: Sampled[number]): readonly number[] => rounds.map((one) => one.tokensPerSecond);
  const best = sampled
    .filter(({ system }) => system.engine === "llama")
    .reduce((a, b) => (median(rates(b)) > median(rates(a)) ? b : a));
  const ratios = sampled
    .filter(({ system }) => system.engine === "weir")
    .map((one) => {
      const perRound = rates(one).map((rate, round) => rate / (rates(best)[round] as number));
      return [one.system.name, roundedSpread(spread(perRound))] as const;
    });
  const systems = sampled.map((one) => {
    const inside = one.rounds.flatMap(({ insidePerSecond }) => insidePerSecond ?? []);
    const figure: SystemFigure = {
      engine: one.system.engine,
      perSecond: roundedSpread(spread(rates(one))),
      insidePerSecond: inside.length === 0 ? null : rounded(median(inside)),
      rounds: rates(one).map(rounded),
    };
    return [one.system.name, figure] as const;
  });
  return {
    ...{ kind: "figure", run, cell },
    systems: Object.fromEntries(systems),
    bestLlama: best.system.name,
    ratios: Object.fromEntries(ratios),
  };
}

/** What weir should reach against llama.cpp at its best settings, SmolLM2-135M in Q4_0; undefined = no aim was set. */
export function targetOf(cell: Cell): number | undefined {
  if (cell.kind === "prefill") return undefined;
  if (cell.context === 256 && cell.rows === 1) return 1;
  if (cell.context === 256 && cell.rows >= 4 && cell.rows <= 16) return 1.15;
  if (cell.context === 1024 && cell.rows <= 8) return 1.15;
  return undefined;
}
