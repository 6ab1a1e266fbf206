import { expect, test } from "vitest";
import { tokenId } from "../../../engine/core/brand.ts";
import { WeirError } from "../../../engine/core/errors.ts";
import type { GenerationEvent } from "../../../engine/core/generator.ts";
import { createMetrics, type LaneStats } from "../../../engine/metering/metrics.ts";
import { newRequest } from "../../support/requests.ts";
import { ScriptedGenerator } from "../../support/scripted-generator.ts";

const request = newRequest({ model: "scripted", prompt: "abc", maxTokens: 4, ignoreEos: true });

function setUp(lanes: readonly LaneStats[] = []) {
  let now = 0;
  const metrics = createMetrics(
    {
      clock: { now: () => now, wall: () => 0 },
      laneStats: () => lanes,
      ready: () => false,
      backends: () => [{ name: "azure", zone: "cloud", up: false }],
    },
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

test("each token after the first has its own gap, however tokens are told", async () => {
  const { metrics, value, advance } = setUp();
  const text = (tokens: number, after: number): readonly [GenerationEvent, number] => [
    { kind: "text", text: "x", tokens: Array.from({ length: tokens }, (_, i) => tokenId(i)), logprobs: [] },
    after,
  ];
  const usage = { promptTokens: 3, cachedTokens: 0, queueMs: 0, prefillMs: 10 };
  // Three tokens of one character, text of a token told before, four that a slow reader gets at once, an end token.
  const events: readonly (readonly [GenerationEvent, number])[] = [
    [{ kind: "started", promptTokens: 3 }, 0],
    text(3, 30),
    text(0, 5),
    text(1, 5),
    text(4, 40),
    [{ kind: "finished", reason: "stop", usage: { ...usage, completionTokens: 9, decodeMs: 80 } }, 10],
  ];
  const generator = metrics.measure({
    async *generate() {
      for (const [event, after] of events) {
        advance(after);
        yield event;
      }
    },
  });
  for await (const _ of generator.generate(request, new AbortController().signal));
  const gaps = (part: string) => value(`vllm:inter_token_latency_seconds_${part}`);
  expect(await gaps('count{model_name="scripted"}')).toBe(8);
  // 10 for the fourth, 4 x 10 up to the eighth, 10 for the end token; the first two gaps are what decodeMs leaves.
  expect(await gaps('sum{model_name="scripted"}')).toBeCloseTo(0.08);
  expect(await gaps('bucket{le="0.01",model_name="scripted"}')).toBe(8);
  expect(await gaps('bucket{le="0.005",model_name="scripted"}')).toBe(0);
  expect(await value('vllm:generation_tokens_total{model_name="scripted"}')).toBe(9);
  expect(await value('vllm:time_to_first_token_seconds_count{model_name="scripted"}')).toBe(1);
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

test("decisions, what could not be classified, and backends that are not asked", async () => {
  const { metrics, value } = setUp();
  metrics.routed({ class: "restricted", zone: "onprem", action: "serve", elapsedMs: 2 });
  metrics.classifyFailed("timeout");
  expect(await value('weir_route_decisions_total{class="restricted",zone="onprem",action="serve"}')).toBe(1);
  expect(await value("weir_route_duration_seconds_sum")).toBe(0.002);
  expect(await value('weir_classify_faults_total{fault="timeout"}')).toBe(1);
  expect(await value('weir_backend_up{backend="azure",zone="cloud"}')).toBe(0);
});
