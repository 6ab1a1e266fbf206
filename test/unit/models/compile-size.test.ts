import { statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { compiledWeightBytes } from "../../../models/compile/size.ts";
import { WEIGHTS_NAME } from "../../../models/manifest.ts";
import { openModelSource } from "../../../models/open.ts";
import { makeRandomModel } from "../../../scripts/make-random-model.ts";
import { compileForTest, temporaryFolder } from "../../support/compiled.ts";

/** Each matrix begins on a page, and rotary tables are there too. */
const BESIDE = 0.65e6;

test.each([
  ["Q4_K_M", {}],
  ["Q6_K", {}],
  ["F16", {}],
  ["Q4_0", {}],
  ["Q4_0", { quant: "q8", block: 64 }],
  ["Q8_0", { quant: "q4" }],
  ["F32", { quant: "f32", kv: "f32" }],
] as const)("the weights of %s compiled with %j take what was foreseen", async (type, options) => {
  const folder = temporaryFolder();
  const gguf = join(folder, "model.gguf");
  makeRandomModel({ shape: "tiny-llama-256", type, out: gguf, layers: 2 });
  const source = openModelSource(gguf);
  const foreseen = compiledWeightBytes(source, { quant: undefined, block: undefined, ...options });
  source.store.close();
  const compiled = await compileForTest(gguf, options);
  const real = statSync(join(compiled.folder, WEIGHTS_NAME)).size;
  expect(real).toBeGreaterThanOrEqual(foreseen);
  expect(real).toBeLessThan(foreseen + BESIDE);
});
