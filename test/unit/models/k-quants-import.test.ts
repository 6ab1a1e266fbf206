/** K-quants on their way in: what they become, how far off that is, and that the import says so. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { uniform } from "../../../engine/core/random.ts";
import { dequantiseRows, quantiseRows } from "../../../models/compile/quantise.ts";
import type { StoredMatrix } from "../../../models/compile/weights.ts";
import { dequantise } from "../../../models/formats/blocks.ts";
import { openGguf } from "../../../models/formats/gguf.ts";
import { quantise } from "../../../models/formats/quantise.ts";
import { LAYOUT_NAME, WEIGHTS_NAME } from "../../../models/manifest.ts";
import { makeRandomModel } from "../../../scripts/make-random-model.ts";
import { runCli } from "../../../server/cli.ts";
import { type CompiledModel, compileForTest, temporaryFolder } from "../../support/compiled.ts";

const entry = join(import.meta.dirname, "../../../server/main.ts");
const clock = { now: () => performance.now(), wall: () => Date.now() };
let folder: string;
let mixed: string;
const savedHome = process.env["WEIR_HOME"];
beforeAll(() => {
  folder = temporaryFolder();
  mixed = join(folder, "mixed.gguf");
  makeRandomModel({ shape: "tiny-llama-256", type: "Q4_K_M", out: mixed, layers: 3 });
  process.env["WEIR_HOME"] = join(folder, "home");
});
afterAll(() => {
  if (savedHome === undefined) delete process.env["WEIR_HOME"];
  else process.env["WEIR_HOME"] = savedHome;
});

describe("the choice of precision", () => {
  const WIDTH = 256;
  /** Near normal: sums of twelve even draws. */
  const original = Float32Array.from({ length: 128 * WIDTH }, (_, place) => {
    let sum = -6;
    for (let draw = 0; draw < 12; draw += 1) sum += uniform(draw, place);
    return sum / 16;
  });
  const stored = (rows: Float32Array, bits: 4 | 8): Float32Array =>
    dequantiseRows(quantiseRows(rows, WIDTH, bits, 32), WIDTH, bits, 32);
  /** Root mean square, over that of the reference. */
  const distance = (values: Float32Array, reference: Float32Array): number => {
    let changed = 0;
    let total = 0;
    for (const [index, value] of reference.entries()) {
      changed += ((values[index] as number) - value) ** 2;
      total += value ** 2;
    }
    return Math.sqrt(changed / total);
  };

  test.each(["Q4_K", "Q5_K", "Q6_K"] as const)("8 bits leave %s as good as it was, 4 bits do not", (type) => {
    const file = dequantise(type, quantise(type, original));
    const own = distance(file, original);
    expect(distance(stored(file, 8), file)).toBeLessThan(0.006);
    expect(distance(stored(file, 8), original)).toBeLessThan(1.05 * own);
    expect(distance(stored(file, 4), file)).toBeGreaterThan(0.08);
    // Two roundings to 4 bits are worse than the one of a plain Q4_0 file.
    expect(distance(stored(file, 4), original)).toBeGreaterThan(distance(stored(original, 4), original));
  });
});

describe("compiling", () => {
  test("without a wish stores every K-quant in 8 bits, and notes how many and how far off", async () => {
    const { precision } = (await compileForTest(mixed)).manifest;
    expect(precision).toMatchObject({ weights: "q8", block: 32, lossless: false });
    expect(precision.requantised).toMatchObject([
      { type: "Q4_K", tensors: 19, weights: "q8", block: 32 },
      { type: "Q6_K", tensors: 3, weights: "q8", block: 32 },
    ]);
    for (const { error } of precision.requantised ?? []) {
      expect(error).toBeGreaterThan(0.003);
      expect(error).toBeLessThan(0.006);
    }
  });

  test.each([
    [{ block: 128 }, "q8", 128, 0.0055, 0.007],
    [{ quant: "q4" }, "q4", 32, 0.07, 0.1],
    [{ quant: "q8", block: 64 }, "q8", 64, 0.005, 0.0065],
  ] as const)("with %j does what was asked for, with its loss", async (wish, weights, block, least, most) => {
    const { precision } = (await compileForTest(mixed, wish)).manifest;
    expect(precision).toMatchObject({ weights, block, lossless: false });
    for (const { error, ...what } of precision.requantised ?? []) {
      expect(what).toMatchObject({ weights, block });
      expect(error).toBeGreaterThan(least);
      expect(error).toBeLessThan(most);
    }
  });

  test("of a file without K-quants notes nothing", async () => {
    const plain = join(folder, "plain.gguf");
    makeRandomModel({ shape: "tiny-llama-256", type: "Q8_0", out: plain, layers: 1 });
    const { precision } = (await compileForTest(plain)).manifest;
    expect(precision.lossless).toBe(true);
    expect("requantised" in precision).toBe(false);
  });

  test("with f32 keeps every value", async () => {
    const compiled = await compileForTest(mixed, { quant: "f32" });
    expect(compiled.manifest.precision).toEqual({
      weights: "f32",
      block: 0,
      lossless: true,
      kv: "f32",
      kvScales: [],
    });
    const { store } = openGguf(mixed);
    const values = (name: string): Float32Array => {
      const { type, byteLength } = store.tensors.get(name) ?? { type: "F32" as const, byteLength: 0 };
      return dequantise(type, store.read(name, 0, byteLength));
    };
    const layout = JSON.parse(readFileSync(join(compiled.folder, LAYOUT_NAME), "utf8")) as Layout;
    expect(matrixOf(compiled, layout.embedding)).toEqual(values("token_embd.weight"));
    expect(matrixOf(compiled, layout.layers[1]?.gate)).toEqual(values("blk.1.ffn_gate.weight"));
    expect(matrixOf(compiled, layout.layers[2]?.down)).toEqual(values("blk.2.ffn_down.weight"));
    store.close();
  });
});

interface Layout {
  readonly embedding: StoredMatrix;
  readonly layers: readonly { readonly gate: StoredMatrix; readonly down: StoredMatrix }[];
}

/** A plain matrix as it is stored, row after row. */
function matrixOf({ folder: where }: CompiledModel, matrix: StoredMatrix | undefined): Float32Array {
  if (matrix?.kind !== "plain") throw new Error("the matrix is not stored plainly");
  const { rows, width, transposed, data } = matrix;
  const bytes = readFileSync(join(where, WEIGHTS_NAME)).subarray(data.offset, data.offset + data.length);
  const values = new Float32Array(new Uint8Array(bytes).buffer);
  if (!transposed) return values;
  return values.map((_, place) => values[(place % width) * rows + Math.floor(place / width)] as number);
}

describe("weir models import", () => {
  async function importFile(file: string, name: string, ...flags: string[]) {
    const lines: string[] = [];
    const write = (line: string): void => void lines.push(line);
    const terminal = { out: write, err: write, interactive: false, input: async () => undefined };
    const argv = ["models", "import", file, "--name", name, "--force", "--kv", "f32", ...flags];
    const code = await runCli(argv, { clock, entry, terminal });
    return { code, lines };
  }

  test("says in one sentence what became of K-quants and what else there is", async () => {
    const { code, lines } = await importFile(mixed, "mixed");
    expect(code).toBe(0);
    const said = lines.filter((line) => line.includes("_K"));
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(
      /^Its 19 Q4_K and 3 Q6_K tensors became q8 block 32, which rounds their values once more \(by 0\.5\d %, root mean square\); `--quant f32` keeps them exactly, `--quant q4` takes about half the memory in steps 16 times as wide\.$/,
    );
    expect(lines.join("\n")).not.toContain("without loss");
  });

  test("warns of no coarser steps where they were asked for", async () => {
    const said = (await importFile(mixed, "mixed", "--quant", "q4")).lines.filter((line) =>
      line.includes("_K"),
    );
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(
      /became q4 block 32, which rounds .* \(by [78]\.\d %, .*\); `--quant f32` keeps them exactly\.$/,
    );
  });

  test("has nothing to say where they are kept exactly", async () => {
    const { lines } = await importFile(mixed, "mixed", "--quant", "f32");
    expect(lines.join("\n")).toContain("f32, weights kept without loss, f32 cache");
    expect(lines.filter((line) => line.includes("_K"))).toEqual([]);
  });

  test.each([
    ["dmin of a block of Q4_K is NaN", "blk.1.ffn_gate.weight", 144 * 3 + 2, 0x7e00],
    ["d of a block of Q6_K is infinite", "token_embd.weight", 210 * 700 + 208, 0x7c00],
  ])("refuses a file in which %s, and names the tensor", async (_, tensor, at, half) => {
    const bytes = readFileSync(mixed);
    const { store } = openGguf(mixed);
    const { byteLength = 0 } = store.tensors.get(tensor) ?? {};
    const start = bytes.indexOf(store.read(tensor, 0, byteLength));
    store.close();
    bytes.writeUInt16LE(half, start + at);
    const damaged = join(folder, "damaged.gguf");
    writeFileSync(damaged, bytes);
    for (const flags of [[], ["--quant", "q4"], ["--quant", "f32"]]) {
      const { code, lines } = await importFile(damaged, "damaged", ...flags);
      expect(code).toBe(1);
      expect(lines.at(-1)).toContain(`${damaged}: ${tensor}: holds values that are no finite numbers`);
      expect(existsSync(join(folder, "home", "models", "damaged"))).toBe(false);
    }
  });
});
