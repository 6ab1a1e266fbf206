/**
 * What any server of ours must do over HTTP, whatever generates behind it: run it with a function that makes a server.
 * Answers, chunks and errors are judged by OpenAI's own schemas.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Answer, chunksOf, send } from "../support/http-client.ts";
import { complaints, type Judged, openaiSchemaAvailable } from "../support/openai-schema.ts";
import { badRequests } from "./bad-requests.ts";

export interface ContractServer {
  readonly baseUrl: string;
  /** A model that can chat and whose greedy answers have at least 8 tokens. */
  readonly model: string;
  readonly apiKey?: string;
  [Symbol.asyncDispose](): Promise<void>;
}

export const conforms = (name: Judged, value: unknown): void => {
  if (openaiSchemaAvailable) expect(complaints(name, value), name).toEqual([]);
};

export function contractSuite(title: string, makeServer: () => Promise<ContractServer>): void {
  describe(title, () => {
    let server: ContractServer;
    beforeAll(async () => {
      server = await makeServer();
    });
    afterAll(async () => {
      await server[Symbol.asyncDispose]();
    });
    const call = (path: string, body?: unknown): Promise<Answer> => {
      const headers = server.apiKey === undefined ? {} : { authorization: `Bearer ${server.apiKey}` };
      return send(server.baseUrl + path, body, { headers });
    };
    const complete = (body: object) =>
      call("/v1/completions", { model: server.model, temperature: 0, ...body });
    const chat = (body: object) =>
      call("/v1/chat/completions", {
        model: server.model,
        temperature: 0,
        messages: [{ role: "user", content: "Say something" }],
        max_completion_tokens: 8,
        ...body,
      });

    test.skipIf(!openaiSchemaAvailable)(
      "OpenAI's schemas judge strictly (skipped: ../shared is absent)",
      async () => {
        const { json } = await chat({});
        expect(complaints("CreateChatCompletionResponse", json)).toEqual([]);
        expect(complaints("CreateChatCompletionResponse", { ...json, extra: 1 })).not.toEqual([]);
        const [choice] = json.choices;
        const without = { ...choice, message: { ...choice.message, refusal: undefined } };
        const odd = { ...choice, message: { ...choice.message, mood: "fine" } };
        for (const wrong of [JSON.parse(JSON.stringify(without)), odd, { ...choice, index: "0" }]) {
          expect(complaints("CreateChatCompletionResponse", { ...json, choices: [wrong] })).not.toEqual([]);
        }
      },
    );
    completionTests(complete);
    choiceTests(complete);
    chatTests(chat);
    tokenTests(call, complete, () => server.model);
    modelTests(call, () => server.model);

    test.each(badRequests)("$name is refused with $status and names $param", async (bad) => {
      const body = bad.raw ?? { model: server.model, ...bad.body };
      const answer = await call(bad.path, body);
      conforms("ErrorResponse", answer.json);
      expect({ status: answer.status, param: answer.json.error.param, code: answer.json.error.code }).toEqual(
        {
          status: bad.status,
          param: bad.param,
          code: bad.code ?? "invalid_request",
        },
      );
      expect(answer.json.error.message).toMatch(bad.message ?? /./);
      expect(answer.headers.get("x-request-id")).toMatch(/^[\x21-\x7e]+$/);
      expect(answer.headers.get("x-should-retry")).toBe("false");
    });
  });
}

type Complete = (body: object) => Promise<Answer>;

function completionTests(complete: Complete): void {
  test("a completion conforms, and its usage adds up", async () => {
    const { status, json } = await complete({ prompt: "The river" });
    expect(status).toBe(200);
    conforms("CreateCompletionResponse", json);
    expect(json.choices).toHaveLength(1);
    expect(json.usage.total_tokens).toBe(json.usage.prompt_tokens + json.usage.completion_tokens);
    expect(json.usage.completion_tokens).toBeLessThanOrEqual(16);
  });

  test("a streamed completion has the same text as a whole one, chunk by conforming chunk", async () => {
    const whole = await complete({ prompt: "The river", max_tokens: 8 });
    const streamed = await complete({ prompt: "The river", max_tokens: 8, stream: true });
    expect(streamed.headers.get("content-type")).toMatch(/^text\/event-stream/);
    const chunks = chunksOf(streamed.text);
    for (const chunk of chunks) conforms("CompletionChunk", chunk);
    expect(chunks.map((chunk) => chunk.choices[0].text).join("")).toBe(whole.json.choices[0].text);
    expect(chunks.at(-1).choices[0].finish_reason).toBe(whole.json.choices[0].finish_reason);
    expect(chunks.slice(0, -1).every((chunk) => chunk.choices[0].finish_reason === null)).toBe(true);
    expect(chunks.every((chunk) => !("usage" in chunk))).toBe(true);
  });

  test("include_usage adds one last chunk with the usage, and null in the others", async () => {
    const whole = await complete({ prompt: "The river", max_tokens: 4 });
    const body = {
      prompt: "The river",
      max_tokens: 4,
      stream: true,
      stream_options: { include_usage: true },
    };
    const chunks = chunksOf((await complete(body)).text);
    const last = chunks.pop();
    conforms("CompletionChunk", last);
    expect(last.choices).toEqual([]);
    expect({ ...last.usage, prompt_tokens_details: 0 }).toEqual({
      ...whole.json.usage,
      prompt_tokens_details: 0,
    });
    expect(chunks.every((chunk) => chunk.usage === null)).toBe(true);
  });

  test("stream_options without streaming is accepted, as OpenAI's own client sends it", async () => {
    const answer = await complete({
      prompt: "a",
      max_tokens: 1,
      stream: false,
      stream_options: { include_usage: true },
    });
    expect(answer.status).toBe(200);
  });

  test("an answer ends before a stop string, and none of it is sent", async () => {
    const free = (await complete({ prompt: "Stop here", max_tokens: 8, ignore_eos: true })).json.choices[0]
      .text as string;
    const stop = free.slice(4, 7);
    const stopped = (await complete({ prompt: "Stop here", max_tokens: 8, ignore_eos: true, stop })).json
      .choices[0];
    expect(stopped.finish_reason).toBe("stop");
    expect(stopped.text).toBe(free.slice(0, free.indexOf(stop)));
    const streamed = await complete({
      prompt: "Stop here",
      max_tokens: 8,
      ignore_eos: true,
      stop: [stop],
      stream: true,
    });
    const text = chunksOf(streamed.text)
      .map((chunk) => chunk.choices[0].text)
      .join("");
    expect(text).toBe(stopped.text);
  });

  test("echo puts the prompt first, and max_tokens 0 only scores it", async () => {
    const { json } = await complete({ prompt: "Score me", echo: true, logprobs: 1, max_tokens: 0 });
    conforms("CreateCompletionResponse", json);
    const { text, logprobs } = json.choices[0];
    expect(text).toBe("Score me");
    expect(logprobs.token_logprobs[0]).toBeNull();
    expect(logprobs.token_logprobs.slice(1).every((value: number) => value <= 0)).toBe(true);
    expect(logprobs.tokens.length).toBe(json.usage.prompt_tokens);
    const streamed = await complete({
      prompt: "Score me",
      echo: true,
      logprobs: 1,
      max_tokens: 2,
      stream: true,
    });
    const chunks = chunksOf(streamed.text);
    for (const chunk of chunks) conforms("CompletionChunk", chunk);
    expect(
      chunks
        .map((chunk) => chunk.choices[0].text)
        .join("")
        .startsWith("Score me"),
    ).toBe(true);
  });

  test("log-probabilities come one a token, with offsets that point into the text", async () => {
    const { json } = await complete({
      prompt: "Once upon a time, there was",
      max_tokens: 8,
      temperature: 0,
      logprobs: 2,
    });
    conforms("CreateCompletionResponse", json);
    const { text, logprobs } = json.choices[0];
    const characters = [...text];
    expect(logprobs.tokens.length).toBe(json.usage.completion_tokens);
    for (const [index, token] of (logprobs.tokens as string[]).entries()) {
      if (token.startsWith("bytes:")) continue;
      const at = logprobs.text_offset[index];
      expect(characters.slice(at, at + [...token].length).join("")).toBe(token);
      expect(Object.keys(logprobs.top_logprobs[index])).toContain(token);
    }
  });

  test("offsets are the same in a stream, never fall, and count the echoed prompt", async () => {
    const body = { prompt: "Ünder 😀 the", max_tokens: 12, logprobs: 0, echo: true, ignore_eos: true };
    const { json } = await complete(body);
    const { text, logprobs } = json.choices[0];
    const offsets: number[] = logprobs.text_offset;
    expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
    expect(offsets.at(-1)).toBeLessThanOrEqual([...text].length);
    const characters = [...text];
    for (const [index, token] of (logprobs.tokens as string[]).entries()) {
      if (token.startsWith("bytes:")) continue;
      const at = offsets[index] as number;
      expect(characters.slice(at, at + [...token].length).join("")).toBe(token);
    }
    const chunks = chunksOf((await complete({ ...body, stream: true })).text);
    const streamed = chunks.flatMap((chunk) => chunk.choices[0].logprobs?.text_offset ?? []);
    expect(streamed).toEqual(offsets);
  });
}

function choiceTests(complete: Complete): void {
  test("n and several prompts are numbered prompt by prompt, and each prompt counts once", async () => {
    const one = await complete({ prompt: "First", n: 1, max_tokens: 4 });
    const body = { prompt: ["First", "Second one"], n: 2, max_tokens: 4, temperature: 0.9, seed: 11 };
    const { json } = await complete(body);
    conforms("CreateCompletionResponse", json);
    expect(json.choices.map((choice: { index: number }) => choice.index)).toEqual([0, 1, 2, 3]);
    const second = await complete({ prompt: "Second one", n: 1, max_tokens: 4 });
    expect(json.usage.prompt_tokens).toBe(one.json.usage.prompt_tokens + second.json.usage.prompt_tokens);
    const chunks = chunksOf((await complete({ ...body, stream: true })).text);
    for (const chunk of chunks) conforms("CompletionChunk", chunk);
    for (const { index, text } of json.choices) {
      const own = chunks.filter((chunk) => chunk.choices[0].index === index);
      expect(own.map((chunk) => chunk.choices[0].text).join("")).toBe(text);
      expect(own.at(-1).choices[0].finish_reason).not.toBeNull();
    }
  });

  test("the same seed gives the same answer, alone and in a list of prompts", async () => {
    const body = { max_tokens: 6, temperature: 1, seed: -42 };
    const alone = await complete({ ...body, prompt: "Seeded" });
    const again = await complete({ ...body, prompt: "Seeded" });
    const listed = await complete({ ...body, prompt: ["Other", "Seeded"] });
    expect(again.json.choices[0].text).toBe(alone.json.choices[0].text);
    expect(listed.json.choices[1].text).toBe(alone.json.choices[0].text);
  });
}

function chatTests(chat: Complete): void {
  test("a chat answer conforms", async () => {
    const { status, json } = await chat({});
    expect(status).toBe(200);
    conforms("CreateChatCompletionResponse", json);
    expect(json.choices[0].message.role).toBe("assistant");
  });

  test("a streamed chat begins with the role and has the same text as a whole one", async () => {
    const whole = await chat({});
    const streamed = await chat({ stream: true, stream_options: { include_usage: true } });
    const chunks = chunksOf(streamed.text);
    for (const chunk of chunks) conforms("CreateChatCompletionStreamResponse", chunk);
    expect(chunks[0].choices[0].delta.role).toBe("assistant");
    const last = chunks.pop();
    expect(last.choices).toEqual([]);
    expect(last.usage.total_tokens).toBe(whole.json.usage.total_tokens);
    expect(chunks.every((chunk) => chunk.usage === null && chunk.id === chunks[0].id)).toBe(true);
    const text = chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");
    expect(text).toBe(whole.json.choices[0].message.content);
    expect(chunks.at(-1).choices[0].finish_reason).toBe(whole.json.choices[0].finish_reason);
  });

  test("chat log-probabilities conform, whole and streamed, and their bytes make the text", async () => {
    const body = { logprobs: true, top_logprobs: 3, n: 2 };
    const whole = await chat(body);
    conforms("CreateChatCompletionResponse", whole.json);
    const { message, logprobs } = whole.json.choices[0];
    const bytes = logprobs.content.flatMap((token: { bytes: number[] }) => token.bytes);
    expect(Buffer.from(bytes).toString("utf8").startsWith(message.content)).toBe(true);
    expect(logprobs.content[0].top_logprobs).toHaveLength(3);
    const chunks = chunksOf((await chat({ ...body, stream: true })).text);
    for (const chunk of chunks) conforms("CreateChatCompletionStreamResponse", chunk);
    const streamed = chunks
      .filter((chunk) => chunk.choices[0].index === 0)
      .flatMap((chunk) => chunk.choices[0].logprobs?.content ?? []);
    expect(streamed).toEqual(logprobs.content);
  });

  test("every role and text parts are understood", async () => {
    const messages = [
      { role: "system", content: "Be brief." },
      { role: "developer", content: [{ type: "text", text: "Be kind." }] },
      {
        role: "user",
        content: [
          { type: "text", text: "One" },
          { type: "text", text: "Two" },
        ],
        name: "ada",
      },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "c1", type: "function", function: { name: "f", arguments: "{}" } }],
      },
      { role: "tool", content: "42", tool_call_id: "c1" },
      { role: "assistant", content: "It is 42." },
      { role: "user", content: "Thanks" },
    ];
    const answer = await chat({ messages, response_format: { type: "text" } });
    expect(answer.status, answer.text).toBe(200);
    conforms("CreateChatCompletionResponse", answer.json);
  });

  test("include_obfuscation evens out the chunks' lengths", async () => {
    const answer = await chat({ stream: true, stream_options: { include_obfuscation: true } });
    const chunks = chunksOf(answer.text);
    for (const chunk of chunks) conforms("CreateChatCompletionStreamResponse", chunk);
    expect(chunks.every((chunk) => typeof chunk.obfuscation === "string")).toBe(true);
  });
}

function tokenTests(
  call: (path: string, body?: unknown) => Promise<Answer>,
  complete: Complete,
  model: () => string,
) {
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

function modelTests(call: (path: string, body?: unknown) => Promise<Answer>, model: () => string): void {
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

  test("values that ask for what is done anyway get no warning, others do", async () => {
    const ask = (more: object) =>
      call("/v1/completions", { model: model(), prompt: "a", max_tokens: 1, ...more });
    const quiet = { store: false, service_tier: "auto", metadata: {}, safety_identifier: "s" };
    expect((await ask(quiet)).headers.get("warning")).toBeNull();
    const loud = { store: true, service_tier: "flex", parallel_tool_calls: false, tools: [] };
    expect((await ask(loud)).headers.get("warning")).toBe(
      '299 weir "ignored parameters: store, service_tier, parallel_tool_calls, tools"',
    );
  });

  test("unknown parameters are ignored, with a warning that names them", async () => {
    const body = {
      model: model(),
      prompt: "a",
      max_tokens: 1,
      "frobnicate\u{1F300}": 1,
      mirostat: 2,
      user: "u",
    };
    const answer = await call("/v1/completions", body);
    expect(answer.status).toBe(200);
    const streamed = await call("/v1/completions", { ...body, stream: true });
    for (const { headers } of [answer, streamed]) {
      expect(headers.get("warning")).toBe('299 weir "ignored parameters: frobnicate??, mirostat"');
    }
  });
}
