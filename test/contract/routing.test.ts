import OpenAI from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { pseudonymise } from "../../engine/routing/pseudonyms.ts";
import { type CloudDouble, startCloudDouble } from "../support/cloud-double/cloud-double.ts";
import { chunksOf, send } from "../support/http-client.ts";
import { remoteRequest } from "../support/remote.ts";
import { ask, chat, PRIVATE, PUBLIC, receiptsOf, said } from "../support/routed-questions.ts";
import {
  doubleBackend,
  type RoutedServer,
  type RoutedServerSetup,
  startRoutedServer,
} from "../support/routed-server.ts";

let double: CloudDouble;
beforeAll(async () => {
  double = await startCloudDouble();
});
afterAll(() => double.close());
beforeEach(() => double.reset());

const start = (setup: RoutedServerSetup = {}, changes: object = {}): Promise<RoutedServer> =>
  startRoutedServer({ backends: { double: doubleBackend(double.port, changes) }, ...setup });

describe("without a model named", () => {
  test("a public question goes to the cloud, by the name that its list has", async () => {
    await using place = await start();
    const answer = await ask(place, chat(PUBLIC));
    expect(said(answer)).toEqual(["public", "cloud", "double"]);
    expect(answer.json).toMatchObject({ model: "double/large", choices: [{ message: { content: "ok" } }] });
    const { requests } = await double.record();
    expect(requests.map(({ url, body }) => [url, JSON.parse(body).model])).toEqual([
      ["/v1/chat/completions", "vendor-large-1"],
    ]);
    expect(place.house.calls).toEqual([]);
  });

  test("private data stay, and not one byte of them leaves", async () => {
    await using place = await start();
    const answer = await ask(place, chat(PRIVATE, { model: "auto" }));
    expect(answer.status).toBe(200);
    expect(said(answer)).toEqual(["restricted", "onprem", "local"]);
    expect(place.house.calls).toHaveLength(1);
    expect((await double.record()).bytes).toBe(0);
  });

  test("a completion is routed like a chat", async () => {
    await using place = await start();
    const open = await send(`${place.url}/v1/completions`, { prompt: PUBLIC });
    expect(said(open)).toEqual(["public", "cloud", "double"]);
    expect(open.json.choices[0].text).toBe("ok");
    const closed = await send(`${place.url}/v1/completions`, { prompt: PRIVATE });
    expect(said(closed)).toEqual(["restricted", "onprem", "local"]);
    expect((await double.record()).requests).toHaveLength(1);
  });

  test("a parameter that nobody knows is read, and not sent on", async () => {
    await using place = await start();
    const answer = await ask(place, chat(PUBLIC, { notes: { hint: PRIVATE } }));
    expect(said(answer)).toEqual(["restricted", "onprem", "local"]);
    const harmless = await ask(place, chat("How do rivers form?", { notes: "in two sentences" }));
    expect(said(harmless)).toEqual(["public", "cloud", "double"]);
    const [only] = (await double.record()).requests;
    expect(only?.body).not.toContain("two sentences");
  });
});

describe("a model that is named", () => {
  test("of the cloud, for private data: 403 with the class and the rules, and no text", async () => {
    await using place = await start();
    const answer = await ask(place, chat(PRIVATE, { model: "double/large" }));
    expect(answer.status).toBe(403);
    expect(answer.json.error).toMatchObject({
      code: "private_data",
      type: "permission_error",
      param: "model",
    });
    expect(answer.json.error.message).toMatch(/restricted data \(hr\.words\)/);
    expect(answer.text).not.toContain("11010519491231002X");
    expect(said(answer)).toEqual(["restricted", "onprem", null]);
    expect((await double.record()).bytes).toBe(0);
    expect(place.house.calls).toEqual([]);
  });

  test("of the cloud, where the policy reroutes: the house answers", async () => {
    await using place = await start({
      policy: { version: 1, explicit_cloud: "reroute", classes: { public: { zone: "cloud" } } },
    });
    expect(said(await ask(place, chat(PRIVATE, { model: "double/large" })))).toEqual([
      "restricted",
      "onprem",
      "local",
    ]);
  });

  test.each([
    ["small", "local"],
    ["local/small", "local"],
    ["quick", "local"],
    ["double/large", "double"],
    ["clever", "double"],
  ])("%s is answered by %s", async (model, backend) => {
    const models = { aliases: { quick: "small", clever: "double/large" } };
    await using place = await start({ settings: { models } });
    expect((await ask(place, chat(PUBLIC, { model }))).headers.get("x-weir-backend")).toBe(backend);
  });

  test("that there is not is 404, on record, and not repeated there", async () => {
    await using place = await start();
    const answer = await ask(place, chat(PUBLIC, { model: "double/huge" }));
    expect(answer.status).toBe(404);
    expect(answer.json.error).toMatchObject({ code: "model_not_found", param: "model" });
    expect(receiptsOf(place)[0].decision).toMatchObject({
      wanted: "unknown",
      action: "refuse",
      backend: null,
    });
    expect(JSON.stringify(receiptsOf(place))).not.toContain("huge");
  });

  test("all of them are listed, with where they run", async () => {
    await using place = await start();
    const { json } = await send(`${place.url}/v1/models`);
    expect(json.data.map(({ id, owned_by }: { id: string; owned_by: string }) => [id, owned_by])).toEqual([
      ["small", "weir"],
      ["double/large", "double"],
    ]);
    expect((await send(`${place.url}/v1/models/double/large`)).json).toMatchObject({
      meta: { backend: "double", zone: "cloud" },
    });
  });
});

describe("what is declared", () => {
  test.each([
    ["a label", { "x-weir-class": "restricted" }, {}],
    ["a label that nobody knows", { "x-weir-class": "top-secret" }, {}],
    ["a label in the metadata", {}, { metadata: { data_class: "personal" } }],
    ["a source that nobody knows", { "x-weir-source": "crm" }, {}],
    ["an agent that nobody knows", { "x-weir-agent": "writer" }, {}],
  ])("%s keeps it in the house", async (_, headers, more) => {
    await using place = await start();
    const answer = await ask(place, chat(PUBLIC, more), headers as Record<string, string>);
    expect(said(answer).slice(1)).toEqual(["onprem", "local"]);
    expect((await double.record()).bytes).toBe(0);
  });

  test("a conversation that was private stays so, for that caller, also after a restart", async () => {
    const first = await start();
    const turns = [{ role: "user", content: "Give me an overview of sorting algorithms." }];
    await ask(first, { messages: turns }, { "x-weir-class": "restricted" });
    const more = [
      ...turns,
      { role: "assistant", content: "I see." },
      { role: "user", content: "And in French?" },
    ];
    expect(said(await ask(first, { messages: more }))).toEqual(["restricted", "onprem", "local"]);
    const { home } = first;
    await first.server[Symbol.asyncDispose]();
    await first.opened.close();
    await using again = await start({ home });
    expect(said(await ask(again, { messages: more }))).toEqual(["restricted", "onprem", "local"]);
    expect(said(await ask(again, chat("And in French?")))).toEqual(["public", "cloud", "double"]);
    expect((await double.record()).requests).toHaveLength(1);
  });
});

describe("streams", () => {
  test("of the cloud come as they come, for OpenAI's own client, with tool calls and usage", async () => {
    await using place = await start();
    await double.script({
      kind: "answer",
      texts: ["It ", "is ", "Oslo."],
      toolCalls: [{ id: "c1", name: "lookup", arguments: ['{"city":', '"Oslo"}'] }],
      splitBytes: 7,
    });
    const client = new OpenAI({ baseURL: `${place.url}/v1`, apiKey: "any" });
    const stream = client.chat.completions.stream({
      model: "auto",
      messages: [{ role: "user", content: PUBLIC }],
      tools: [{ type: "function", function: { name: "lookup", parameters: { type: "object" } } }],
      stream_options: { include_usage: true },
    });
    const final = await stream.finalChatCompletion();
    expect(final.choices[0]?.message.content).toBe("It is Oslo.");
    expect(final.choices[0]?.message.tool_calls?.[0]).toMatchObject({
      function: { name: "lookup", arguments: '{"city":"Oslo"}' },
    });
    expect(final.usage).toMatchObject({ prompt_tokens: 11, completion_tokens: 7 });
    const [request] = (await double.record()).requests;
    expect(JSON.parse(request?.body ?? "{}").tools[0].function.name).toBe("lookup");
  });

  test("name the backend that answers, where the first one did not", async () => {
    const backends = {
      broken: doubleBackend(double.port, { attempts_max: 1, models: ["large"] }),
      double: doubleBackend(double.port),
    };
    await using place = await start({ backends });
    await double.script({ kind: "status", status: 500 });
    const answer = await ask(place, chat(PUBLIC, { stream: true }));
    expect(answer.headers.get("x-weir-backend")).toBe("double");
    expect(chunksOf(answer.text).length).toBeGreaterThan(1);
  });
});

describe("internal text, where the policy lets it out pseudonymised", () => {
  const policy = {
    version: 1,
    classes: { public: { zone: "cloud" }, internal: { zone: "cloud", pseudonymise: true } },
  };
  const INTERNAL = "Which of 10.20.30.40 and 10.20.30.41 should answer for support@firma.example?";

  test("leaves without its values, and its answer has them again, in text and in calls, however it is cut", async () => {
    await using place = await start({ policy });
    const outgoing = pseudonymise(remoteRequest({ prompt: { kind: "text", text: INTERNAL } }))?.request
      .prompt;
    const text = outgoing?.kind === "text" ? outgoing.text : "";
    const [one = "", two = "", mail = ""] = text.match(/\[[A-Z]+-[A-Z]+\]/g) ?? [];
    expect(text).toBe(`Which of ${one} and ${two} should answer for ${mail}?`);
    for (const stream of [false, true]) {
      await double.reset();
      await double.script({
        kind: "answer",
        texts: [
          `Take ${one.slice(0, 5)}`,
          `${one.slice(5)} and write to `,
          mail.slice(0, 3),
          `${mail.slice(3)}.`,
        ],
        toolCalls: [
          { id: "c", name: "ping", arguments: [`{"host":"${two.slice(0, 3)}`, `${two.slice(3)}"}`] },
        ],
        splitBytes: 5,
      });
      const answer = await ask(place, chat(INTERNAL, { stream }));
      expect(said(answer)).toEqual(["internal", "cloud", "double"]);
      const { said: told, call } = stream
        ? joined(chunksOf(answer.text))
        : {
            said: answer.json.choices[0].message.content,
            call: answer.json.choices[0].message.tool_calls[0].function.arguments,
          };
      expect(told).toBe("Take 10.20.30.40 and write to support@firma.example.");
      expect(call).toBe('{"host":"10.20.30.41"}');
      const [request] = (await double.record()).requests;
      expect(request?.body).not.toMatch(/10\.20\.30|firma/);
      expect(request?.body).toContain(text);
    }
  });

  test("stays where something in it cannot be replaced", async () => {
    await using place = await start({ policy });
    const hidden = Buffer.from(
      "ssh to 10.20.30.40 as the deploy user, then restart the two services",
    ).toString("base64");
    const answer = await ask(place, chat(`What does this say: ${hidden}`));
    expect(said(answer)).toEqual(["internal", "onprem", "local"]);
    expect((await double.record()).bytes).toBe(0);
  });

  test("stays by the policy that comes with weir", async () => {
    await using place = await start();
    expect(said(await ask(place, chat(INTERNAL)))).toEqual(["internal", "onprem", "local"]);
  });

  function joined(chunks: ReturnType<typeof chunksOf>): { readonly said: string; readonly call: string } {
    const deltas = chunks.flatMap(({ choices }) => choices.map(({ delta }: { delta: object }) => delta));
    return {
      said: deltas.map((delta) => delta.content ?? "").join(""),
      call: deltas.map((delta) => delta.tool_calls?.[0].function.arguments ?? "").join(""),
    };
  }
});

describe("what fails stays in its zone", () => {
  test("private data with the house down are 503, and not one byte leaves", async () => {
    const backends = {
      vllm: doubleBackend(9, { zone: "onprem", models: ["big"], attempts_max: 1, connect_timeout_ms: 200 }),
      double: doubleBackend(double.port),
    };
    const local = {
      autoModel: () => undefined,
      isInstalled: () => false,
      isUp: () => false,
      generator: {
        name: "local",
        zone: "onprem" as const,
        generate: () => {
          throw new Error("not there");
        },
      },
    };
    await using place = await start({ backends, routing: { local } });
    for (const stream of [false, true]) {
      const answer = await ask(place, chat(PRIVATE, { stream }));
      expect(answer.status).toBe(503);
      expect(answer.json.error.code).toBe("onprem_unavailable");
    }
    expect((await double.record()).bytes).toBe(0);
  });

  test("while the cloud fails, its error is said in our words; while it is known to be down, the house answers", async () => {
    await using place = await start({}, { attempts_max: 1, breaker_failures_max: 1 });
    await double.script({ kind: "status", status: 500, body: `quoting ${PUBLIC}` });
    const failed = await ask(place, chat(PUBLIC));
    expect(failed.status).toBe(502);
    expect(failed.text).not.toContain("Norway");
    expect(said(await ask(place, chat(PUBLIC)))).toEqual(["public", "onprem", "local"]);
  });

  test("a classifier that cannot say leaves everything in the house", async () => {
    await using place = await start({ settings: { routing: { classify_timeout_ms: 10 } } });
    // Over the size that is read at once, and slow to read: 2 MB of text in 10 ms.
    const answer = await ask(place, chat("All rivers run to the sea. ".repeat(30_000)));
    expect(answer.headers.get("x-weir-zone")).toBe("onprem");
    expect((await double.record()).bytes).toBe(0);
  });
});
