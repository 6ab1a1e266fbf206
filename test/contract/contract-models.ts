/** Models, their tokens, and what the server says of itself. */
import { expect, test } from "vitest";
import type { Api } from "../support/contract-api.ts";
import { chunksOf } from "../support/http-client.ts";
import { conforms } from "../support/openai-schema.ts";

export function tokenTests({ call, complete, model }: Api): void {
  test("a prompt of token ids gives the answer of its text, and return_token_ids shows both", async () => {
    const tokens = (await call("/tokenize", { model: model(), prompt: "The river runs" })).json.tokens;
    const byText = await complete({ prompt: "The river runs", max_tokens: 5, return_token_ids: true });
    const byTokens = await complete({ prompt: [tokens], max_tokens: 5, return_token_ids: true });
    conforms("CreateCompletionResponse", byText.json);
    expect(byTokens.json.choices).toEqual(byText.json.choices);
    expect(byText.json.choices[0].prompt_token_ids).toEqual(tokens);
    expect(byText.json.choices[0].token_ids).toHaveLength(byText.json.usage.completion_tokens);
    const streamed = await complete({ prompt: tokens, max_tokens: 5, return_token_ids: true, stream: true });
    const chunks = chunksOf(streamed.text);
    for (const chunk of chunks) conforms("CompletionChunk", chunk);
    expect(chunks[0].choices[0].prompt_token_ids).toEqual(tokens);
    const ids = chunks.flatMap((chunk) => chunk.choices[0].token_ids ?? []);
    expect(ids).toEqual(byText.json.choices[0].token_ids);
  });

  test("detokenize undoes tokenize", async () => {
    const { json } = await call("/tokenize", { model: model(), prompt: "café", add_special_tokens: false });
    expect(json.count).toBe(json.tokens.length);
    const back = await call("/detokenize", { model: model(), tokens: json.tokens });
    expect(back.json.prompt.trim()).toBe("café");
  });
}

export function modelTests({ call, model }: Api): void {
  test("models are listed and described, with vocabulary and context length", async () => {
    const list = await call("/v1/models");
    conforms("ListModelsResponse", list.json);
    const listed = list.json.data.find((entry: { id: string }) => entry.id === model());
    const one = await call(`/v1/models/${encodeURIComponent(model())}`);
    conforms("Model", one.json);
    expect(one.json).toEqual(listed);
    expect(one.json.meta.n_vocab).toBeGreaterThan(0);
    expect(one.json.meta.context_length).toBeGreaterThan(0);
    const none = await call("/v1/models/no%2Fsuch");
    conforms("ErrorResponse", none.json);
    expect([none.status, none.json.error.code]).toEqual([404, "model_not_found"]);
  });

  test("health, metrics and docs answer", async () => {
    expect((await call("/health")).json).toEqual({ status: "ok", device: "cpu" });
    const metrics = await call("/metrics");
    for (const name of [
      "vllm:num_requests_running",
      "vllm:num_requests_waiting",
      "vllm:kv_cache_usage_perc",
    ]) {
      expect(metrics.text).toContain(`\n${name}{model_name="${model()}"`);
    }
    const docs = await call("/docs/json");
    expect(Object.keys(docs.json.paths)).toEqual(
      expect.arrayContaining(["/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/models/{model}"]),
    );
    expect((await call("/docs")).text).toContain("swagger-ui");
  });
}
