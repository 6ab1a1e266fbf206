/**
 * What one row costs in the lane's thread: `node bench/micro/sampler.bench.ts [vocabulary]`. Rows are seeded: a normal
 * bulk of logits with a few likely tokens above it, as a trained model gives. A new row each call, so that neither the
 * branch predictor nor the cache knows it.
 */
import { Bench } from "tinybench";
import { sequenceId, slot, tokenId } from "../../engine/core/brand.ts";
import { uniform } from "../../engine/core/random.ts";
import type { Sampling } from "../../engine/core/request.ts";
import { RowSampler, scoreTarget } from "../../engine/worker/sampler.ts";
import { PLAIN } from "../../test/support/requests.ts";

const vocabSize = Number(process.argv[2] ?? 49_152);
const ROWS = 32;

const rows = Array.from({ length: ROWS }, (_, row) =>
  Float32Array.from({ length: vocabSize }, (_, id) => {
    const a = uniform(row, 2 * id);
    const b = uniform(row, 2 * id + 1);
    const normal = Math.sqrt(-2 * Math.log(1 - a)) * Math.cos(2 * Math.PI * b);
    const likely = uniform(row + 1000, id) < 20 / vocabSize ? 12 : 0;
    return 2.5 * normal + likely - 3;
  }),
);

function sampler(change: Partial<Sampling>, logprobs?: number): () => void {
  const sampling = { ...PLAIN, seed: 7, ...change };
  const opening = { sequence: sequenceId(1), slot: slot(0), sampling, logprobs, endTokens: [], minTokens: 0 };
  const one = new RowSampler(opening, vocabSize);
  one.observePrompt(Array.from({ length: 1000 }, (_, i) => tokenId((i * 37) % vocabSize)));
  let call = 0;
  return () => {
    one.sample(rows[call % ROWS] as Float32Array);
    call += 1;
  };
}

const bench = new Bench({ time: 600, warmupTime: 200 });
let turn = 0;
bench
  .add("greedy", sampler({ temperature: 0 }))
  .add("temperature 0.8", sampler({ temperature: 0.8 }))
  .add("temperature 0.8, top_p 0.95", sampler({ temperature: 0.8, topP: 0.95 }))
  .add("temperature 0.8, min_p 0.05", sampler({ temperature: 0.8, minP: 0.05 }))
  .add("temperature 0.8, top_k 40, top_p 0.95", sampler({ temperature: 0.8, topK: 40, topP: 0.95 }))
  .add("temperature 0.8, top_k 1000, top_p 0.95", sampler({ temperature: 0.8, topK: 1000, topP: 0.95 }))
  .add("temperature 2, top_k 1000, top_p 0.5", sampler({ temperature: 2, topK: 1000, topP: 0.5 }))
  .add(
    "greedy, three penalties over 1,000 tokens",
    sampler({ temperature: 0, repetitionPenalty: 1.1, presencePenalty: 0.1, frequencyPenalty: 0.1 }),
  )
  .add("greedy, logprobs 20", sampler({ temperature: 0 }, 20))
  .add("temperature 0.8, logprobs 20", sampler({ temperature: 0.8 }, 20))
  .add("score a prompt token, 20 alternatives", () => {
    scoreTarget(rows[turn % ROWS] as Float32Array, tokenId(turn % vocabSize), 20);
    turn += 1;
  });
await bench.run();

console.log(`one row of ${vocabSize} logits`);
for (const { name, result } of bench.tasks) {
  if (result.state !== "completed") throw new Error(`${name}: ${result.state}`);
  const us = (ms: number): string => (ms * 1000).toFixed(1).padStart(8);
  console.log(`${name.padEnd(44)} median ${us(result.latency.p50)} us   p99 ${us(result.latency.p99)} us`);
}
