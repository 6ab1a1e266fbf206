/** A real trained model, from both of its formats, against text and losses that an independent reference computed. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { measure } from "../../engine/worker/measure.ts";
import { DecoderRunner } from "../../engine/worker/runner.ts";
import { openModelSource } from "../../models/open.ts";
import { loadTokenizer } from "../../models/tokenizer/load.ts";
import { compileForTest } from "../support/compiled.ts";
import { hasShared, named, shared } from "../support/shared-data.ts";

const present = hasShared("models", "stories260K");
const FORMATS = {
  GGUF: shared("models", "stories260K", "stories260K.gguf"),
  safetensors: shared("models", "stories260K", "hf"),
};
const golden = <T>(name: string): T =>
  JSON.parse(readFileSync(shared("models", "stories260K", "hf", name), "utf8")) as T;

for (const [format, path] of Object.entries(FORMATS)) {
  test.skipIf(!present)(
    named(`stories260K from ${format} writes its golden text, all 200 tokens`, present),
    async () => {
      const { greedy_ids, greedy_text } = golden<{ greedy_ids: number[]; greedy_text: string }>(
        "golden_greedy.json",
      );
      const compiled = await compileForTest(path, { quant: "f32" });
      const runner = new DecoderRunner({
        graphPath: compiled.lane().graphPath,
        arena: { geometry: compiled.manifest.geometry, precision: "f32", slots: 2, capacity: 256 },
        chunkTokensMax: 16,
        session: { threads: 2, spinning: true },
      });
      const ids = [1];
      let [logits] = runner.prefill(0, 0, ids, [0]);
      while (ids.length < greedy_ids.length) {
        const row = logits as Float32Array;
        const token = row.indexOf(Math.max(...row));
        ids.push(token);
        [logits] = runner.decode([token], [ids.length - 1]);
      }
      runner.close();
      expect(ids).toEqual(greedy_ids);
      const source = openModelSource(path);
      expect(loadTokenizer(source.tokenizer).decode(ids)).toBe(greedy_text);
      source.store.close();
    },
  );

  test.skipIf(!present)(
    named(`stories260K from ${format} has its golden loss within 1e-3 nats at f32`, present),
    async () => {
      const { nll, mean, texts } = golden<{ nll: number[]; mean: number; texts: string[] }>(
        "golden_nll.json",
      );
      const compiled = await compileForTest(path, { quant: "f32" });
      // The reference tokenised the way SentencePiece does, which the tokenizer inside the GGUF follows.
      const source = openModelSource(FORMATS.GGUF);
      const tokenizer = loadTokenizer(source.tokenizer);
      source.store.close();
      const tokens = texts.map((text) => [1, ...tokenizer.encode(text, { addSpecial: false })].slice(0, 256));
      const measured = measure({ model: compiled.lane("f32"), texts: tokens, threads: 2 });
      const byText = measured.nllByText;
      for (const [index, expected] of nll.entries())
        expect(byText[index], `text ${index}`).toBeCloseTo(expected, 3);
      expect(Math.abs(byText.reduce((a, b) => a + b, 0) / byText.length - mean)).toBeLessThan(1e-3);
    },
  );
}
