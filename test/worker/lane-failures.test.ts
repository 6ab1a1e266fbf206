/** What happens to requests when a lane's thread ends, or its model is damaged: real threads, real ONNX Runtime. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Worker } from "node:worker_threads";
import { Piscina } from "piscina";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { tokenId } from "../../engine/core/brand.ts";
import type { GenerationEvent } from "../../engine/core/generator.ts";
import { openWorkerLane } from "../../engine/lanes/worker-lane.ts";
import { WEIGHTS_NAME } from "../../models/manifest.ts";
import { openModelSource } from "../../models/open.ts";
import type { RequestChanges } from "../support/requests.ts";
import { laneLimits } from "../support/scheduler-build.ts";
import { readAll, requestOf } from "../support/scripted-lane-engine.ts";
import { type TinyEngine, tinyModel } from "../support/served-lane.ts";

const LIMITS = laneLimits({ rowsMax: 3, slotTokens: 512, chunkTokensMax: 16, waitingMax: 8 });
const prompt = (length: number) =>
  ({ kind: "tokens", tokens: Array.from({ length }, (_, i) => tokenId((i * 41 + length) % 500)) }) as const;

/** The pool of the lane that ran last: the product keeps it to itself. */
const runs = vi.spyOn(Piscina.prototype, "run");
afterAll(() => runs.mockRestore());
function threadInUse(): Worker {
  const pool = runs.mock.contexts.at(-1) as Piscina;
  const [thread] = pool.threads as Worker[];
  if (thread === undefined) throw new Error("the pool has no thread");
  return thread;
}

describe("a thread that ends", () => {
  let place: TinyEngine;
  beforeAll(async () => {
    place = await (await tinyModel({ type: "Q8_0", kv: "f32" })).open(LIMITS);
  });
  const ask = (changes: RequestChanges) =>
    place.engine.generate(requestOf({ ignoreEos: true, ...changes }), new AbortController().signal);
  const QUIET: RequestChanges = { prompt: prompt(400), maxTokens: 6 };

  test("in the middle of a step is started again: what streamed fails, the others are answered as if nothing was", async () => {
    const alone = await readAll(ask(QUIET));
    const streaming = ask({ prompt: prompt(5), maxTokens: 500 })[Symbol.asyncIterator]();
    await streaming.next();
    await streaming.next();
    const steps = place.lane.steps.length;
    const quiet = readAll(ask(QUIET));
    // Its prompt is being computed in chunks, and nothing of its answer is out.
    await expect.poll(() => place.lane.steps.length, { interval: 1 }).toBeGreaterThan(steps);
    const lost = expect(readAll({ [Symbol.asyncIterator]: () => streaming })).rejects.toMatchObject({
      code: "backend_failed",
      message: expect.stringMatching(
        /thread failed: worker exited with code.*part of the answer was out already/,
      ),
    });
    await threadInUse().terminate();
    await lost;
    expect((await quiet).text).toBe(alone.text);
    expect(place.incidents.map(({ kind }) => kind)).toEqual(["step_failed", "revived"]);
    expect((await readAll(ask(QUIET))).text).toBe(alone.text);
    expect(place.engine.answering).toBe(0);
  });

  test.each([
    { how: "is terminated", end: async (thread: Worker) => void (await thread.terminate()) },
    {
      how: "runs out of memory",
      end: async (thread: Worker) => {
        thread.emit("error", new Error("Worker terminated due to reaching memory limit"));
      },
    },
  ])("while it $how between two requests is started again for the next one", async ({ end }) => {
    const alone = await readAll(ask(QUIET));
    place.incidents.length = 0;
    await end(threadInUse());
    expect((await readAll(ask(QUIET))).text).toBe(alone.text);
    expect(place.incidents.map(({ kind }) => kind)).toEqual(["step_failed", "revived"]);
  });

  test("again and again ends the request after its retries, and serves the next", async () => {
    let killing = true;
    const killer = (async () => {
      while (killing) {
        const before = place.lane.steps.length;
        while (killing && place.lane.steps.length === before) await sleep(1);
        if (killing) await threadInUse().terminate();
      }
    })();
    await expect(readAll(ask({ prompt: prompt(500), maxTokens: 2 }))).rejects.toMatchObject({
      code: "backend_failed",
      message: expect.stringMatching(/failed again after 2 retries/),
    });
    killing = false;
    await killer;
    expect((await readAll(ask(QUIET))).finished.reason).toBe("length");
  });
});

describe("a model whose numbers are damaged", () => {
  test("gives an error that says so, not silence, and the lane stays alive", async () => {
    const model = await tinyModel({
      type: "F32",
      kv: "f32",
      damage: (source, folder) => fillWithNaN(source, "output_norm.weight", join(folder, WEIGHTS_NAME)),
    });
    const { engine, incidents } = await model.open(LIMITS);
    const ask = (changes: RequestChanges): AsyncIterable<GenerationEvent> =>
      engine.generate(requestOf(changes), new AbortController().signal);
    const expected = {
      code: "backend_failed",
      message: expect.stringMatching(/logits are damaged: NaN .*weir models verify/),
    };
    await expect(readAll(ask({ prompt: prompt(20) }))).rejects.toMatchObject(expected);
    await expect(readAll(ask({ prompt: prompt(20), sampling: { temperature: 0.8 } }))).rejects.toMatchObject(
      expected,
    );
    await expect(
      readAll(ask({ prompt: prompt(20), maxTokens: 0, echo: true, logprobs: 1 })),
    ).rejects.toMatchObject(expected);
    expect(new Set(incidents.map(({ kind }) => kind))).toEqual(new Set(["step_failed"]));
    expect(engine.answering).toBe(0);
  });
});

describe("a lane that cannot be opened", () => {
  const load = { rowsMax: 2, slotTokens: 64, chunkTokensMax: 16, threads: 1, spinning: false };

  test("says why, and leaves no thread behind", async () => {
    const { compiled } = await tinyModel({ type: "Q8_0", kv: "f32" });
    const graphPath = `${compiled.folder}/damaged.onnx`;
    writeFileSync(graphPath, "not a graph");
    const missing = { ...compiled.lane("f32"), graphPath: `${compiled.folder}/none.onnx` };
    await expect(openWorkerLane({ ...load, model: missing })).rejects.toThrow(/none\.onnx is not there/);
    const damaged = { ...compiled.lane("f32"), graphPath };
    await expect(openWorkerLane({ ...load, model: damaged })).rejects.toThrow(/damaged\.onnx/);
    for (const pool of runs.mock.contexts.slice(-2)) expect((pool as Piscina).threads).toEqual([]);
  });
});

/** Overwrites the compiled copy of an F32 tensor, as a failing disk might: a source with such numbers is refused. */
function fillWithNaN(sourcePath: string, name: string, weights: string): void {
  const source = openModelSource(sourcePath);
  const info = source.store.tensors.get(name);
  if (info === undefined) throw new Error(`the model has no ${name}`);
  const bytes = Buffer.from(source.store.read(name, 0, info.byteLength));
  source.store.close();
  const file = readFileSync(weights);
  const at = file.indexOf(bytes);
  if (at < 0) throw new Error(`${name} was not found in the weights`);
  for (let offset = 0; offset < bytes.length; offset += 4) file.writeFloatLE(Number.NaN, at + offset);
  writeFileSync(weights, file);
}
