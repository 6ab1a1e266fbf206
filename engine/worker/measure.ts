/** Scores texts with a compiled graph: mean negative log-likelihood, and how large the cached keys and values get. */
import { tokenId } from "../core/brand.ts";
import { PAD_MAX } from "../core/limits.ts";
import type { Measurement, MeasureTask } from "./protocol.ts";
import { DecoderRunner, WANTED_ROWS_MAX } from "./runner.ts";
import { scoreTarget } from "./sampler.ts";

const SLOT = 0;

export function measure({ model, texts, calibrationTexts = 0, threads }: MeasureTask): Measurement {
  const longest = Math.max(2, ...texts.map((text) => text.length));
  const { geometry } = model;
  const runner = new DecoderRunner({
    graphPath: model.graphPath,
    layout: model.layout,
    arena: { geometry, precision: model.kv, slots: 2, capacity: longest + PAD_MAX },
    chunkTokensMax: WANTED_ROWS_MAX,
    session: { threads, spinning: true },
  });
  try {
    const largest = Array.from({ length: geometry.layers }, () => ({ key: 0, value: 0 }));
    const nllByText: number[] = [];
    let sum = 0;
    let tokens = 0;
    const apart = calibrationTexts < texts.length ? calibrationTexts : 0;
    for (const [index, text] of texts.entries()) {
      const loss = score(runner, text);
      nllByText.push(loss / (text.length - 1));
      if (index >= apart) {
        sum += loss;
        tokens += text.length - 1;
      }
      if (model.kv !== "f32" || (apart > 0 && index >= apart)) continue;
      for (const [layer, seen] of largest.entries()) {
        seen.key = Math.max(seen.key, runner.largest(layer, 0, SLOT, text.length));
        seen.value = Math.max(seen.value, runner.largest(layer, 1, SLOT, text.length));
      }
    }
    return { nll: sum / tokens, tokens, nllByText, largest: model.kv === "f32" ? largest : [] };
  } finally {
    runner.close();
  }
}

/** Sum over the text's tokens after the first, in nats. */
function score(runner: DecoderRunner, text: readonly number[]): number {
  runner.clear(SLOT);
  let loss = 0;
  for (let from = 0; from < text.length; from += WANTED_ROWS_MAX) {
    const chunk = text.slice(from, from + WANTED_ROWS_MAX);
    const rows = runner.prefill(SLOT, from, chunk, [...chunk.keys()]);
    for (const [index, row] of rows.entries()) {
      const target = text[from + index + 1];
      if (target !== undefined) loss -= scoreTarget(row, tokenId(target), 0).logprob;
    }
  }
  return loss;
}
