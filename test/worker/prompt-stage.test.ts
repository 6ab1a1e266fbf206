/** The f32 stage of prompts: what is rounded into a slot is what the attention kernel would have rounded itself. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CompiledFeeds } from "../../engine/worker/feeds/compiled.ts";
import { SharedFeeds } from "../../engine/worker/feeds/shared.ts";
import { KvArena } from "../../engine/worker/kv-arena.ts";
import { OrtSession } from "../../engine/worker/ort/session.ts";
import { PromptStage } from "../../engine/worker/prompt-stage.ts";
import { makeRandomModel } from "../../scripts/make-random-model.ts";
import { compileForTest, temporaryFolder } from "../support/compiled.ts";

const geometry = { layers: 1, hidden: 4, heads: 1, kvHeads: 2, headDim: 4, vocabSize: 8 };
const shapeOf = (precision: "f32" | "int8", slots: number) => ({ geometry, precision, slots, capacity: 8 });
const scales = [{ key: 0.5, value: 0.25 }];

describe("rounding into a slot", () => {
  test("is to the nearest, halves to even, and stops at the ends of int8", () => {
    const rows = new KvArena(shapeOf("int8", 2));
    const stage = new PromptStage(rows, shapeOf("int8", 2), scales);
    stage.open(1, 0);
    stage.arena.head(0, 0, 0, 1, 2).set([0.25, 0.75, 1.25, -0.25, -0.75, 63.5, 99, -99]);
    stage.arena.head(0, 1, 0, 0, 2).set([0.1, 0.2, -0.2, 0.125, 31.75, 31.9, -32, -32.2]);
    stage.close(2);
    expect([...rows.head(0, 0, 1, 1, 2)]).toEqual([0, 2, 2, -0, -2, 127, 127, -128].map((x) => x + 0));
    expect([...rows.head(0, 1, 1, 0, 2)]).toEqual([0, 1, -1, 0, 127, 127, -128, -128]);
    expect(rows.head(0, 0, 0, 1, 8).every((value) => value === 0)).toBe(true);
  });

  test("leaves positions before and behind the chunk alone", () => {
    const rows = new KvArena(shapeOf("int8", 1));
    const stage = new PromptStage(rows, shapeOf("int8", 1), scales);
    stage.open(0, 0);
    stage.close(2);
    rows.head(0, 0, 0, 0, 8).fill(7);
    stage.open(0, 2);
    stage.close(3);
    expect([...rows.head(0, 0, 0, 0, 8)]).toEqual([
      ...Array(8).fill(7),
      ...Array(12).fill(0),
      ...Array(12).fill(7),
    ]);
  });
});

describe("whose prompt stands on it", () => {
  const staged = (): PromptStage => {
    const stage = new PromptStage(new KvArena(shapeOf("int8", 4)), shapeOf("int8", 4), scales);
    stage.open(2, 0);
    stage.close(3);
    return stage;
  };

  test("a prompt goes on where it stopped, also in another slot", () => {
    const stage = staged();
    stage.open(2, 3);
    stage.close(1);
    stage.move(2, 1);
    expect(() => stage.open(1, 4)).not.toThrow();
  });

  test.each([
    ["another slot's", (stage: PromptStage) => stage.open(1, 3)],
    ["a gap", (stage: PromptStage) => stage.open(2, 4)],
    [
      "the slot that it left",
      (stage: PromptStage) => {
        stage.move(2, 1);
        stage.open(2, 3);
      },
    ],
    [
      "a freed slot",
      (stage: PromptStage) => {
        stage.clear(2);
        stage.open(2, 3);
      },
    ],
    [
      "a slot that another moved into",
      (stage: PromptStage) => {
        stage.move(3, 2);
        stage.open(2, 3);
      },
    ],
  ])("%s is refused", (_, open) => {
    expect(() => open(staged())).toThrow("the stage holds slot");
  });
});

test("the first layer's cache is bit for bit what the int8 kernel makes of the same tokens", async () => {
  // Its keys and values come before any attention, so the only difference is who rounds.
  const path = join(temporaryFolder(), "model.gguf");
  makeRandomModel({ shape: "tiny-llama", type: "Q4_0", out: path, seed: 11, vocab: 512 });
  const tokens = Array.from({ length: 40 }, (_, index) => (index * 131 + 7) % 500);
  const { manifest, lane } = await compileForTest(path, { kv: "int8", calibration: [tokens] });
  const shape = { geometry: manifest.geometry, precision: "int8", slots: 2, capacity: 64 } as const;
  const { kvScales } = manifest.precision;
  const { graphPath } = lane("int8");
  const settings = { threads: 1, spinning: false };

  const kernel = new KvArena(shape);
  const session = new OrtSession(graphPath, settings);
  const feeds = new CompiledFeeds({ session, arena: kernel, shape, chunkTokensMax: 64 });
  feeds.prefill(1, 0, tokens, [39]);

  const rows = new KvArena(shape);
  const stage = new PromptStage(rows, shape, kvScales);
  const staged = new OrtSession(graphPath.replace(/\.onnx$/, ".staged.onnx"), settings);
  const shared = new SharedFeeds({
    session: staged,
    arena: rows,
    shape,
    chunkTokensMax: 64,
    stage: stage.arena,
  });
  stage.open(1, 0);
  shared.run([0], [0], { slot: 1, start: 0, tokens }, [0]);
  stage.close(40);

  for (const part of [0, 1] as const) {
    for (let head = 0; head < manifest.geometry.kvHeads; head += 1) {
      const expected = kernel.head(0, part, 1, head, 40);
      expect(expected.some((value) => value !== 0)).toBe(true);
      expect(rows.head(0, part, 1, head, 40)).toEqual(expected);
    }
  }
  for (const [one, its] of [
    [session, feeds],
    [staged, shared],
  ] as const) {
    one.close();
    its.close();
  }
  stage.release();
  rows.close();
  kernel.close();
});
