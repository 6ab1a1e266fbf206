/** What crosses the thread border of a lane: plain data only. Types alone, so the main side may import this file. */
import type { CacheScale, GraphLayout, KvPrecision, ModelGeometry } from "../core/model.ts";
import type { StepOutcome, StepPlan } from "../core/step.ts";

export interface LaneModel {
  /** The compiled graph; its weights lie beside it. */
  readonly graphPath: string;
  /** Without it the graph is one of weir's own. */
  readonly layout?: GraphLayout | undefined;
  readonly geometry: ModelGeometry;
  readonly kv: KvPrecision;
  /** One a layer; what an int8 cache needs for prompts to be read in f32 first. Not needed otherwise. */
  readonly kvScales?: readonly CacheScale[];
}

export interface LaneLoad {
  readonly model: LaneModel;
  /** Sequences that hold a slot at the same time. */
  readonly rowsMax: number;
  /** Tokens of one sequence, prompt and answer. */
  readonly slotTokens: number;
  readonly chunkTokensMax: number;
  /** Threads of one run. */
  readonly threads: number;
  readonly spinning: boolean;
}

/** Runs the model over texts as it would serve them; for calibration and for measuring loss. */
export interface MeasureTask {
  readonly model: LaneModel;
  /** Token ids; each text is at least two tokens long and is run on its own. */
  readonly texts: readonly (readonly number[])[];
  /** The first so many texts show how large the cache gets; only the others are scored into `nll`, unless none is left. */
  readonly calibrationTexts?: number;
  readonly threads: number;
}

export interface Measurement {
  /** Mean negative log-likelihood of each token after the first, in nats, over the texts that are no calibration. */
  readonly nll: number;
  /** Tokens that `nll` is the mean of. */
  readonly tokens: number;
  /** The same for every text. */
  readonly nllByText: readonly number[];
  /** The largest magnitudes in each layer's cache; empty unless the cache is f32. */
  readonly largest: readonly { readonly key: number; readonly value: number }[];
}

export type LaneTask =
  | { readonly kind: "load"; readonly load: LaneLoad }
  | { readonly kind: "step"; readonly plan: StepPlan }
  | { readonly kind: "measure"; readonly measure: MeasureTask }
  | { readonly kind: "unload" };

export type LaneReply =
  | { readonly kind: "loaded"; readonly loadMs: number; readonly cacheBytes: number }
  | { readonly kind: "stepped"; readonly outcome: StepOutcome }
  | { readonly kind: "measured"; readonly measurement: Measurement }
  | { readonly kind: "unloaded" };
