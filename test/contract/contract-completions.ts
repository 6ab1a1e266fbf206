/** Completions: whole and streamed, with stop strings, log-probabilities, and several choices. */
import { expect, test } from "vitest";
import type { Api } from "../support/contract-api.ts";
import { chunksOf } from "../support/http-client.ts";
import { conforms } from "../support/openai-schema.ts";

export function completionTests({ complete }: Api): void {
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

export function choiceTests({ complete }: Api): void {
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
