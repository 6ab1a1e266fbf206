/** The comparison as tables: rates, ratios, and what the engines do inside. */
import { table, withSpread } from "../support/table.ts";
import { type PeersFigure, targetOf } from "./figures.ts";
import { type Cell, describeCell } from "./system.ts";

const NOTHING = "";

export function ratesTable(figures: readonly PeersFigure[]): string {
  const names = namesOf(figures, () => true);
  return table(
    ["tokens/s, median (least–most)", ...names],
    figures.map((figure) => [
      describeCell(figure.cell),
      ...names.map((name) => {
        const system = figure.systems[name];
        return system === undefined ? NOTHING : withSpread(system.perSecond);
      }),
    ]),
  );
}

export function ratiosTable(figures: readonly PeersFigure[], withTargets: boolean): string {
  const names = namesOf(figures, (engine) => engine === "weir");
  return table(
    ["over llama.cpp", "at its best with", ...names, ...(withTargets ? ["target"] : [])],
    figures.map((figure) => {
      const target = targetOf(figure.cell);
      const cells = [
        describeCell(figure.cell),
        figure.bestLlama.replace("llama.cpp, ", ""),
        ...names.map((name) => {
          const ratio = figure.ratios[name];
          return ratio === undefined ? NOTHING : withSpread(ratio, 2);
        }),
      ];
      return withTargets ? [...cells, target === undefined ? NOTHING : `≥ ${target.toFixed(2)}`] : cells;
    }),
  );
}

/** Against a peer that answers one request at a time: its rate for one is its rate for many. */
export function oneAtATimeTable(figures: readonly PeersFigure[]): string {
  const weirs = namesOf(figures, (engine) => engine === "weir");
  const [peer] = namesOf(figures, (engine) => engine === "transformers");
  const alone = (cell: Cell): number | undefined => {
    const same = figures.find((other) =>
      cell.kind === "prefill"
        ? other.cell.kind === "prefill" && other.cell.tokens === cell.tokens
        : other.cell.kind === "decode" && other.cell.rows === 1 && other.cell.context === cell.context,
    );
    return peer === undefined ? undefined : same?.systems[peer]?.perSecond.median;
  };
  return table(
    ["over Transformers.js, one request at a time", ...weirs],
    figures.map((figure) => {
      const base = alone(figure.cell);
      const ratio = (name: string): string => {
        const rate = figure.systems[name]?.perSecond.median;
        return base === undefined || rate === undefined ? NOTHING : (rate / base).toFixed(1);
      };
      return [describeCell(figure.cell), ...weirs.map(ratio)];
    }),
  );
}

export function insideTable(figures: readonly PeersFigure[]): string {
  const names = namesOf(figures, (engine) => engine !== "transformers");
  return table(
    ["tokens/s inside the engine's call", ...names],
    figures.map((figure) => [
      describeCell(figure.cell),
      ...names.map((name) => figure.systems[name]?.insidePerSecond?.toFixed(0) ?? NOTHING),
    ]),
  );
}

function namesOf(
  figures: readonly PeersFigure[],
  wanted: (engine: "weir" | "llama" | "transformers") => boolean,
): readonly string[] {
  const entries = figures.flatMap((figure) => Object.entries(figure.systems));
  return [...new Set(entries.filter(([, system]) => wanted(system.engine)).map(([name]) => name))];
}
