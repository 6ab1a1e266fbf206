/** Entry of a lane's thread: load, step, measure, unload. One model at a time; the thread is the only one to touch it. */
import { existsSync } from "node:fs";
import { PAD_MAX } from "../core/limits.ts";
import { type ArenaShape, arenaBytes } from "./kv-arena.ts";
import { measure } from "./measure.ts";
import { stageShape } from "./prompt-stage.ts";
import type { LaneLoad, LaneModel, LaneReply, LaneTask } from "./protocol.ts";
import { DecoderRunner } from "./runner.ts";
import { StepRunner } from "./step-runner.ts";

let current: { readonly runner: DecoderRunner; readonly steps: StepRunner } | undefined;

/** Wall time is the one thing that a thread may ask for by itself: it only ever reports differences. */
const now = (): number => performance.now();

export default function handle(task: LaneTask): LaneReply {
  switch (task.kind) {
    case "load":
      return load(task.load);
    case "step":
      if (current === undefined) throw new Error("a step came before the model was loaded");
      return { kind: "stepped", outcome: current.steps.run(task.plan) };
    case "measure":
      return { kind: "measured", measurement: measure(task.measure) };
    case "unload":
      current?.runner.close();
      current = undefined;
      return { kind: "unloaded" };
  }
}

function load({ model, rowsMax, slotTokens, chunkTokensMax, threads, spinning }: LaneLoad): LaneReply {
  const start = now();
  current?.runner.close();
  current = undefined;
  if (!existsSync(model.graphPath)) throw new Error(`the graph ${model.graphPath} is not there`);
  const arena: ArenaShape = {
    geometry: model.geometry,
    precision: model.kv,
    // Runs are filled up with slots behind the rows.
    slots: Math.ceil((rowsMax + 1) / PAD_MAX) * PAD_MAX,
    // Chunks are filled up behind their last token.
    capacity: slotTokens + PAD_MAX - 1,
  };
  const runner = new DecoderRunner({
    graphPath: model.graphPath,
    sharedGraphPath: sharedGraphOf(model),
    layout: model.layout,
    kvScales: model.kvScales,
    arena,
    chunkTokensMax,
    session: { threads, spinning },
  });
  current = { runner, steps: new StepRunner(runner, now) };
  // The slots beyond the rows only take what fills runs up, and what the trials at load wrote.
  const cacheBytes =
    arenaBytes({ ...arena, slots: rowsMax + 1 }) + (runner.staged ? arenaBytes(stageShape(arena)) : 0);
  return { kind: "loaded", loadMs: now() - start, cacheBytes };
}

/** weir's own graphs have one for shared steps beside them; graphs that were exported elsewhere do not. */
function sharedGraphOf({ graphPath, kv, kvScales }: LaneModel): string | undefined {
  if (kv === "int8" && kvScales === undefined) return undefined;
  const path = graphPath.replace(/\.onnx$/, kv === "int8" ? ".staged.onnx" : ".shared.onnx");
  return existsSync(path) ? path : undefined;
}
