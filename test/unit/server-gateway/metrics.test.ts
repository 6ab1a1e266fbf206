import { expect, test } from "vitest";
import { WeirError } from "../../../engine/core/errors.ts";
import type { GenerationRequest } from "../../../engine/core/request.ts";
import { createMetrics, type LaneStats } from "../../../engine/metering/metrics.ts";
import { ScriptedGenerator } from "../../support/scripted-generator.ts";

const sampling = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  seed: 0,
};
const request: GenerationRequest = {
  id: "r",
  choice: 0,
  model: "scripted",
  prompt: { kind: "text", text: "abc" },
  sampling,
  maxTokens: 4,
  minTokens: 0,
  ignoreEos: true,
  stop: [],
  stopTokenIds: [],
  logprobs: undefined,
  echo: false,
  priority: 0,
  timeoutMs: undefined,
};

function setUp(lanes: readonly LaneStats[] = []) {
  let now = 0;
  const metrics = createMetrics(
    { clock: { now: () => now, wall: () => 0 }, laneStats: () => lanes, ready: () => false },
    { version: "1.2.3" },
  );
  const inner = new ScriptedGenerator();
  const value = async (line: string) =>
    Number(
      (await metrics.text())
        .split("\n")
        .find((each) => each.startsWith(`${line} `))
        ?.split(" ")
        .at(-1),
    );
  return { metrics, inner, generator: metrics.measure(inner), value, advance: (ms: number) => (now += ms) };
}

const byReason = (reason: string) =>
  `vllm:request_success_total{model_name="scripted",finished_reason="${reason}"}`;

test("the first token and the gaps between tokens are timed by the clock", async () => {
  const { generator, value, advance } = setUp();
  let first = true;
  for await (const event of generator.generate(request, new AbortController().signal)) {
    if (event.kind === "started") advance(200);
    if (event.kind === "text") advance(first ? 30 : 10);
    if (event.kind === "text") first = false;
  }
  expect(await value('vllm:time_to_first_token_seconds_sum{model_name="scripted"}')).toBeCloseTo(0.2);
  expect(await value('vllm:inter_token_latency_seconds_sum{model_name="scripted"}')).toBeCloseTo(0.05);
  expect(await value('vllm:inter_token_latency_seconds_count{model_name="scripted"}')).toBe(3);
  expect(await value('vllm:e2e_request_latency_seconds_sum{model_name="scripted"}')).toBeCloseTo(0.26);
  expect(await value('vllm:prompt_tokens_total{model_name="scripted"}')).toBe(3);
  expect(await value('vllm:prefix_cache_hits_total{model_name="scripted"}')).toBe(1);
  expect(await value(byReason("length"))).toBe(1);
});

test("tokens of an answer that was left or failed are counted, and how it ended", async () => {
  const { generator, inner, value } = setUp();
  for await (const event of generator.generate(request, new AbortController().signal)) {
    if (event.kind === "text") break;
  }
  expect(await value(byReason("abort"))).toBe(1);
  const abort = new AbortController();
  const aborted = (async () => {
    for await (const event of generator.generate(request, abort.signal))
      if (event.kind === "text") abort.abort();
  })();
  await expect(aborted).rejects.toMatchObject({ code: "cancelled" });
  expect(await value(byReason("abort"))).toBe(2);
  inner.behave = () => ({ failAfter: { tokens: 2, error: new WeirError("backend_failed", "x") } });
  const failed = (async () => {
    for await (const _ of generator.generate(request, new AbortController().signal));
  })();
  await expect(failed).rejects.toMatchObject({ code: "backend_failed" });
  expect(await value(byReason("error"))).toBe(1);
  expect(await value('vllm:generation_tokens_total{model_name="scripted"}')).toBe(1 + 1 + 2);
});

test("lanes of one model are added up at scrape time, and models without lanes vanish", async () => {
  const lane = { model: "m", running: 2, waiting: 3, kvUsage: 0.5, slots: 4, slotTokens: 100 };
  const lanes: LaneStats[] = [lane, { ...lane, running: 1, waiting: 0, kvUsage: 1 }];
  const { metrics, value } = setUp(lanes);
  expect(await value('vllm:num_requests_running{model_name="m"}')).toBe(3);
  expect(await value('vllm:num_requests_waiting{model_name="m"}')).toBe(3);
  expect(await value('vllm:kv_cache_usage_perc{model_name="m"}')).toBe(0.75);
  expect(await value('vllm:cache_config_info{model_name="m",block_size="100",num_gpu_blocks="8"}')).toBe(1);
  expect(await value('weir_build_info{version="1.2.3"}')).toBe(1);
  expect(await value("weir_ready")).toBe(0);
  lanes.length = 0;
  expect(await metrics.text()).not.toContain('model_name="m"');
});
