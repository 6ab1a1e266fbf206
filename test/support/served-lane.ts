/** A tiny model behind the real local engine, on a real lane: its thread, ONNX Runtime, the model's own tokenizer. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll } from "vitest";
import { tokenId } from "../../engine/core/brand.ts";
import type { Lane } from "../../engine/core/lane.ts";
import { NO_LANE_METER } from "../../engine/core/lane-meter.ts";
import type { LaneLimits } from "../../engine/core/limits.ts";
import type { KvPrecision, ModelCard } from "../../engine/core/model.ts";
import type { StepPlan } from "../../engine/core/step.ts";
import { type LoadedLane, openWorkerLane } from "../../engine/lanes/worker-lane.ts";
import type { LaneIncident } from "../../engine/local/lane-loop.ts";
import { LocalEngine } from "../../engine/local/local-engine.ts";
import type { TextCodec } from "../../engine/local/text-codec.ts";
import type { CompileOptions } from "../../models/compile/compile.ts";
import { openModelSource } from "../../models/open.ts";
import type { TensorType } from "../../models/source.ts";
import { loadTokenizer } from "../../models/tokenizer/load.ts";
import { makeRandomModel } from "../../scripts/make-random-model.ts";
import { type CompiledModel, compileForTest, temporaryFolder } from "./compiled.ts";

export interface TinyOptions extends Partial<Pick<CompileOptions, "quant" | "block">> {
  readonly type: TensorType;
  readonly kv: KvPrecision;
  /** Changes the compiled model before it is loaded. */
  readonly damage?: (source: string, folder: string) => void;
}

const VOCABULARY = 512;
const LAYERS = 2;
const MODEL_CONTEXT = 2048;

/** A compiled model; it is gone when the test file ends, and so are the engines that were opened over it. */
export async function tinyModel({ type, kv, damage, ...compile }: TinyOptions) {
  const path = join(temporaryFolder(), "model.gguf");
  makeRandomModel({ shape: "tiny-llama", type, out: path, seed: 11, vocab: VOCABULARY, layers: LAYERS });
  const calibration = [Array.from({ length: 60 }, (_, index) => (index * 37 + 5) % VOCABULARY)];
  const compiled = await compileForTest(path, { ...compile, kv, ...(kv === "int8" ? { calibration } : {}) });
  damage?.(path, compiled.folder);
  const codec = codecOf(path);
  const open = (limits: LaneLimits) => openEngine(compiled, kv, codec, limits);
  return { compiled, open };
}

export type TinyEngine = Awaited<ReturnType<typeof openEngine>>;

async function openEngine(compiled: CompiledModel, kv: KvPrecision, codec: TextCodec, limits: LaneLimits) {
  const lane = await openWorkerLane({
    model: compiled.lane(kv),
    rowsMax: limits.rowsMax,
    slotTokens: limits.slotTokens,
    chunkTokensMax: limits.chunkTokensMax,
    threads: 1,
    spinning: false,
  });
  const recorded = new RecordedLane(lane);
  const card: ModelCard = {
    name: "tiny",
    geometry: compiled.manifest.geometry,
    weights: compiled.manifest.precision.weights,
    kv,
    contextLength: MODEL_CONTEXT,
    bosToken: undefined,
    endTokens: compiled.manifest.tokens.end.map(tokenId),
    createdAt: 0,
    hasChatTemplate: true,
    weightBytes: 0,
  };
  const incidents: LaneIncident[] = [];
  const engine = new LocalEngine(
    {
      clock: { now: () => performance.now(), wall: () => Date.now() },
      card,
      codec,
      lanes: [recorded],
      laneMeter: () => NO_LANE_METER,
      report: (incident) => incidents.push(incident),
      sleep: (ms, signal) => sleep(ms, undefined, { signal }),
      repeat: (everyMs, work) => {
        const timer = setInterval(work, everyMs);
        return { [Symbol.dispose]: () => clearInterval(timer) };
      },
    },
    limits,
  );
  afterAll(() => engine.close());
  return { engine, lane: recorded, incidents };
}

function codecOf(path: string): TextCodec {
  const source = openModelSource(path);
  source.store.close();
  const tokenizer = loadTokenizer(source.tokenizer);
  return {
    encode: (text, options) => tokenizer.encode(text, options),
    decode: (tokens) => tokenizer.decode(tokens),
    tokenBytes: (token) => tokenizer.tokenBytes(token),
    isSpecial: (token) => tokenizer.isSpecial(token),
    stripsFirstSpace: tokenizer.stripsFirstSpace,
    renderChat: (messages) => messages.map(({ content }) => content).join("\n"),
  };
}

/** Passes everything on, and keeps what the steps looked like. */
class RecordedLane implements Lane {
  readonly #inner: LoadedLane;
  /** Decode rows and chunk of each step. */
  readonly steps: { readonly rows: number; readonly chunk: StepPlan["chunk"] }[] = [];

  constructor(inner: LoadedLane) {
    this.#inner = inner;
  }

  run(plan: StepPlan) {
    this.steps.push({ rows: plan.decode.length, chunk: plan.chunk });
    return this.#inner.run(plan);
  }

  revive(): Promise<void> {
    return this.#inner.revive();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
