import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { WeirError } from "../../../engine/core/errors.ts";
import type { ChatMessage } from "../../../engine/core/request.ts";
import { ChatTemplate, type ChatTemplateOptions } from "../../../engine/local/chat-template.ts";

const at = (options: Partial<ChatTemplateOptions>): ChatTemplate =>
  new ChatTemplate({
    source: undefined,
    bosToken: "<s>",
    eosToken: "</s>",
    hasToken: () => false,
    wall: () => new Date(2025, 6, 4, 15, 6, 7).getTime(),
    ...options,
  });
const render = (source: string, messages: readonly ChatMessage[] = [], tools?: readonly unknown[]): string =>
  at({ source }).render(messages, tools);
const user = (content: string): ChatMessage => ({ role: "user", content });
const system = (content: string): ChatMessage => ({ role: "system", content });
const assistant = (content: string): ChatMessage => ({ role: "assistant", content });

function refusal(run: () => unknown): WeirError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(WeirError);
    return error as WeirError;
  }
  throw new Error("nothing was thrown");
}

const shared = new URL("../../../../shared/data/tokenizers/", import.meta.url);
const absent = !existsSync(shared);
const skipped = absent ? " (skipped: ../shared is absent)" : "";
const read = (path: string): string => readFileSync(new URL(path, shared), "utf8");
const templateIn = (model: string): string =>
  JSON.parse(read(`${model}/tokenizer_config.json`)).chat_template;

describe.skipIf(absent)(`the templates of real models${skipped}`, () => {
  test("TinyLlama: each turn in its mark, ended by the end token", () => {
    const template = at({ source: read("tinyllama/chat_template.jinja") });
    expect(
      template.render([system("Be brief."), user("Hi"), assistant("Hello."), user("Bye")], undefined),
    ).toBe(
      "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\nHello.</s>\n<|user|>\nBye</s>\n<|assistant|>\n",
    );
  });

  test("Phi-3: a developer message goes as a system message", () => {
    const template = at({ source: templateIn("phi3") });
    expect(template.render([{ role: "developer", content: "Be brief." }, user("Hi")], undefined)).toBe(
      "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n",
    );
  });

  test("Qwen2.5: its own system message where there is none", () => {
    expect(at({ source: templateIn("qwen2.5") }).render([user("Hi")], undefined)).toBe(
      "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n" +
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    );
  });

  test("Qwen2.5: tools, a call with its arguments as an object, and two answers in one turn", () => {
    const tools = [
      {
        type: "function",
        function: { name: "add", description: "Adds.", parameters: { type: "object", properties: {} } },
      },
    ];
    const messages: ChatMessage[] = [
      system("Be brief."),
      user("1+2, é?"),
      {
        role: "assistant",
        content: "",
        toolCalls: [
          { id: "c1", name: "add", arguments: '{"a":1,"b":[2,"é"]}' },
          { id: "c2", name: "add", arguments: "" },
        ],
      },
      { role: "tool", content: "3", toolCallId: "c1" },
      { role: "tool", content: "none", toolCallId: "c2" },
    ];
    expect(at({ source: templateIn("qwen2.5") }).render(messages, tools)).toBe(
      "<|im_start|>system\nBe brief.\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n" +
        "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n" +
        '{"type": "function", "function": {"name": "add", "description": "Adds.", ' +
        '"parameters": {"type": "object", "properties": {}}}}\n</tools>\n\n' +
        "For each function call, return a json object with function name and arguments within <tool_call></tool_call> " +
        'XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n' +
        "<|im_start|>user\n1+2, é?<|im_end|>\n" +
        '<|im_start|>assistant\n<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": [2, "é"]}}\n</tool_call>\n' +
        '<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call><|im_end|>\n' +
        "<|im_start|>user\n<tool_response>\n3\n</tool_response>\n<tool_response>\nnone\n</tool_response><|im_end|>\n" +
        "<|im_start|>assistant\n",
    );
  });
});

describe("what a template gets", () => {
  test("a tool's answer carries the name of the tool that was called, unless the message says another", () => {
    const source =
      "{% for m in messages %}{{ m.name | default('-') }}/{{ m.tool_call_id | default('-') }};{% endfor %}";
    const calls = {
      role: "assistant",
      content: "",
      toolCalls: [{ id: "c1", name: "add", arguments: "{}" }],
    } as const;
    const answer = { role: "tool", content: "3", toolCallId: "c1" } as const;
    expect(render(source, [calls, answer, { ...answer, name: "own" }])).toBe("-/-;add/c1;own/c1;");
  });

  test("arguments that are no JSON object stay as the model wrote them", () => {
    const source = "{% for c in messages[0].tool_calls %}{{ c.function.arguments | tojson }};{% endfor %}";
    const toolCalls = ['{"a":', "[1]", "null", '{"a":{}}'].map((text) => ({
      id: "c",
      name: "f",
      arguments: text,
    }));
    expect(render(source, [{ role: "assistant", content: "", toolCalls }])).toBe(
      '"{\\"a\\":";"[1]";"null";{"a": {}};',
    );
  });

  test("the developer role stays where the template knows it", () => {
    const source = "{% if messages[0].role == 'developer' %}D{% else %}S{% endif %}";
    expect(render(source, [{ role: "developer", content: "" }])).toBe("D");
  });

  test("no tools are none, as in Transformers, and so are documents", () => {
    const source = "{{ tools is none }} {{ documents is none }} {{ custom is defined }}";
    expect(render(source)).toBe("true true false");
    expect(render(source, [], [])).toBe("true true false");
    expect(render(source, [], [{}])).toBe("false true false");
  });

  test("the day from the clock that it was given", () => {
    expect(render("{{ strftime_now('%d %b %Y, %A %I:%M:%S %p %q 100%%') }}")).toBe(
      "04 Jul 2025, Friday 03:06:07 PM %q 100%",
    );
    expect(render("{{ strftime_now('%Y-%m-%d %H %y %B %a %e') }}")).toBe("2025-07-04 15 25 July Fri  4");
  });

  test("special tokens as text, empty where the model has none", () => {
    expect(at({ source: "{{ bos_token }}|{{ eos_token }}" }).render([], undefined)).toBe("<s>|</s>");
    const bare = at({ source: "{{ bos_token }}|{{ eos_token }}", bosToken: undefined, eosToken: undefined });
    expect(bare.render([], undefined)).toBe("|");
  });
});

describe("a model without a template", () => {
  const messages = [system("Be brief."), user("Hi"), assistant("Hello."), user("Bye")];

  test("is asked in ChatML where its vocabulary has the marks", () => {
    const template = at({ hasToken: (text) => text === "<|im_start|>" || text === "<|im_end|>" });
    expect(template.render(messages, undefined)).toBe(
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n" +
        "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
    );
  });

  test("is asked in plain text otherwise", () => {
    expect(at({}).render(messages, undefined)).toBe(
      "<s>Be brief.\n\nUser: Hi\n\nAssistant: Hello.\n\nUser: Bye\n\nAssistant:",
    );
  });
});

describe("a template that does not work out", () => {
  test("and says why is an invalid request that names messages, in its own words on one short line", () => {
    const source = `{{ raise_exception('Roles must alternate:\n' + messages[0].role + '${"!".repeat(1000)}') }}`;
    const error = refusal(() => render(source, [user("secret")]));
    expect(error.code).toBe("invalid_request");
    expect(error.param).toBe("messages");
    expect(error.message).toMatch(
      /^The model's chat template refuses these messages: Roles must alternate: user!+…$/,
    );
    expect(error.message.length).toBeLessThan(400);
  });

  test("and fails is one too", () => {
    const error = refusal(() => render("{{ messages[0].content.nothing.here() }}", [user("Hi")]));
    expect(error).toMatchObject({ code: "invalid_request", param: "messages" });
    expect(error.message).toMatch(/^The model's chat template fails on these messages: ./);
  });

  test("because it is not Jinja is found when the model is opened", () => {
    expect(refusal(() => at({ source: "{% for %}" })).code).toBe("model_load_failed");
    expect(refusal(() => at({ source: "{% if true %}" })).code).toBe("model_load_failed");
  });

  test.each([
    [
      "runs without end",
      "{% for a in range(9000) %}{% for b in range(9000) %}{% endfor %}{% endfor %}",
      "2000 ms",
    ],
    ["counts without end", "{% for a in range(1000000000) %}{% endfor %}", "range"],
    ["counts in place", "{% for a in range(0, 5, 0) %}{% endfor %}", "range"],
    ["writes without end", "{% for a in range(9000) %}{{ messages[0].content }}{% endfor %}", "characters"],
    [
      "doubles a text",
      `{% set ns = namespace(t='xx') %}${"{% set ns.t = ns.t + ns.t %}".repeat(60)}`,
      "characters",
    ],
    [
      "doubles a list",
      `{% set ns = namespace(t=[1]) %}${"{% set ns.t = ns.t + ns.t %}".repeat(60)}`,
      "items",
    ],
    [
      "holds a list twice in each of many",
      `{% set ns = namespace(t=[1]) %}${"{% set ns.t = [ns.t, ns.t] %}".repeat(60)}{{ ns.t | tojson }}`,
      "never be written out",
    ],
    [
      "holds a dict twice in each of many",
      `{% set ns = namespace(t={}) %}${"{% set ns.t = {'a': ns.t, 'b': ns.t} %}".repeat(60)}{{ ns.t }}`,
      "never be written out",
    ],
    [
      "hides a list of lists in namespaces",
      `{% set a = namespace() %}{% set b = namespace(x=a, y=a) %}{{ [b, b] | tojson }}`,
      "never be written out",
    ],
    ["calls itself without end", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "messages"],
  ])("because it %s is stopped", (_, source, word) => {
    // A clock that runs fast shows the time limit without waiting for it; the other limits must not need it.
    let now = 0;
    const wall = (): number => {
      now += word === "2000 ms" ? 700 : 0;
      return now;
    };
    const error = refusal(() => at({ source, wall }).render([user("x".repeat(10_000))], undefined));
    expect(error).toMatchObject({ code: "invalid_request", param: "messages" });
    expect(error.message).toContain(word);
  });

  test("because it loops in loops ends in seconds by a real clock", () => {
    const source =
      "{% for a in range(9000) %}{% for b in range(9000) %}{% for c in range(9000) %}{{ c }}{% endfor %}{% endfor %}{% endfor %}";
    const start = Date.now();
    const error = refusal(() => at({ source, wall: Date.now }).render([user("a")], undefined));
    expect(error.message).toContain("2000 ms");
    // Twenty times the limit: the machine may be busy.
    expect(Date.now() - start).toBeLessThan(40_000);
  });

  test("because the prompt is too long says how long it may be", () => {
    const template = at({ source: "{{ messages[0].content }}", charsMax: 10 });
    expect(template.render([user("x".repeat(10))], undefined)).toHaveLength(10);
    expect(refusal(() => template.render([user("x".repeat(11))], undefined)).message).toContain(
      "more than 10 characters",
    );
  });

  test("counts ranges as Python does", () => {
    expect(
      render("{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}"),
    ).toBe("012531");
  });
});
