/** Options that the benches share, from the command line. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TensorType } from "../../models/source.ts";
import { SHAPES, type ShapeName } from "../../scripts/make-random-model.ts";
import type { ModelChoice } from "./models.ts";

export interface BenchOptions extends ModelChoice {
  readonly rounds: number;
  /** A run of minutes becomes one of seconds: it shows that everything works, its figures mean nothing. */
  readonly quick: boolean;
  /** Where results are appended; undefined = they are only printed. */
  readonly results: string | undefined;
}

const TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0"] as const satisfies readonly TensorType[];
export const DEFAULT_RESULTS = join(import.meta.dirname, "..", "results");
export const DEFAULT_CACHE = join(tmpdir(), "weir-bench");

const text = { type: "string" } as const;
export const SHARED_OPTIONS = {
  ...{ shape: text, type: text, layers: text, rounds: text, threads: text, cache: text, results: text },
  quick: { type: "boolean" },
} as const;

export const SHARED_HELP = `  --shape NAME     a shape of scripts/make-random-model.ts (default smollm2-135m)
  --type TYPE      of the GGUF's matrices: ${TYPES.join(", ")} (default Q4_0)
  --layers N       fewer layers than the shape has; the results are not kept then
  --rounds N       repetitions; systems take turns within each (default 5)
  --threads N      compute threads of every system (default 2)
  --cache DIR      keeps the generated GGUF between runs (default: a folder for temporary files)
  --results DIR    where results are appended (default bench/results)
  --quick          a tiny model and one round: shows that it works, its figures mean nothing and are not kept`;

type SharedValues = { readonly [Name in keyof typeof SHARED_OPTIONS]?: string | boolean | undefined };

export function sharedOptions(values: SharedValues): BenchOptions {
  const quick = values.quick === true;
  const given = (name: keyof SharedValues): string | undefined => {
    const value = values[name];
    return typeof value === "string" ? value : undefined;
  };
  const shape = given("shape") ?? (quick ? "tiny-llama" : "smollm2-135m");
  const type = TYPES.find((name) => name === (given("type") ?? "Q4_0"));
  if (!Object.hasOwn(SHAPES, shape))
    throw new Error(`--shape must be one of ${Object.keys(SHAPES).join(", ")}, not ${shape}`);
  if (type === undefined) throw new Error(`--type must be one of ${TYPES.join(", ")}, not ${values.type}`);
  const layers = wholeNumber("layers", given("layers"));
  return {
    shape: shape as ShapeName,
    type,
    layers,
    rounds: wholeNumber("rounds", given("rounds")) ?? (quick ? 1 : 5),
    threads: wholeNumber("threads", given("threads")) ?? 2,
    cache: given("cache") ?? DEFAULT_CACHE,
    quick,
    results: given("results") ?? (quick || layers !== undefined ? undefined : DEFAULT_RESULTS),
  };
}

export function wholeNumber(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (!/^[1-9]\d{0,5}$/.test(value)) throw new Error(`--${name} must be a whole number from 1, not ${value}`);
  return Number(value);
}

/** For a result's first line. */
export const optionsLine = ({
  shape,
  type,
  layers,
  rounds,
  threads,
}: BenchOptions): Readonly<Record<string, unknown>> => ({
  ...{ shape, type, rounds, threads },
  ...(layers === undefined ? {} : { layers }),
});
