import { describe, expect, test } from "vitest";
import { isTextless } from "../../../engine/routing/pointer.ts";
import { WALK_BOUNDS, walkRequest } from "../../../engine/routing/walk.ts";

const walk = (body: unknown) => walkRequest(body, WALK_BOUNDS);
const rules = (body: unknown): readonly string[] => walk(body).doubts.map(({ rule }) => rule);
const found = (body: unknown, text: string): readonly string[] =>
  walk(body)
    .parts.filter((part) => part.text.includes(text) || part.label?.includes(text))
    .map(({ where }) => where);

const user = (content: unknown): unknown => ({ messages: [{ role: "user", content }] });

describe("a text is found, and said where", () => {
  test.each<[string, unknown, string]>([
    ["in a system message", { messages: [{ role: "system", content: "CANARY" }] }, "/messages/0/content"],
    [
      "in a later message",
      {
        messages: [
          { role: "user", content: "a" },
          { role: "user", content: "CANARY" },
        ],
      },
      "/messages/1/content",
    ],
    [
      "in a content part",
      user([
        { type: "text", text: "a" },
        { type: "text", text: "CANARY" },
      ]),
      "/messages/0/content/1/text",
    ],
    [
      "in a message's name",
      { messages: [{ role: "user", content: "a", name: "CANARY" }] },
      "/messages/0/name",
    ],
    [
      "in a tool result",
      { messages: [{ role: "tool", tool_call_id: "1", content: '{"a":["CANARY"]}' }] },
      "/messages/0/content",
    ],
    [
      "in a tool's description",
      { ...Object(user("a")), tools: [{ type: "function", function: { description: "CANARY" } }] },
      "/tools/0/function/description",
    ],
    ["in the metadata", { prompt: "a", metadata: { "a/b~c": "CANARY" } }, "/metadata"],
    ["in user", { prompt: "a", user: "CANARY" }, "/user"],
    [
      "in a schema",
      { prompt: "a", response_format: { json_schema: { enum: ["CANARY"] } } },
      "/response_format/json_schema",
    ],
    ["in a prompt", { prompt: "CANARY" }, "/prompt"],
    ["in one prompt of several", { prompt: ["a", "CANARY"] }, "/prompt/1"],
    ["in the name of a field", { prompt: "a", logit_bias: { CANARY: { x: 1 } } }, "/logit_bias"],
    ["in an unknown parameter", { prompt: "a", novelty: [[{ deep: "CANARY" }]] }, ""],
  ])("%s", (_, body, where) => {
    expect(found(body, "CANARY")).toContain(where);
  });

  test("a number is a text as well, with the names that lead to it", () => {
    const { parts } = walk({ prompt: "a", metadata: { employee: { salary: { amount: 5000 } } } });
    expect(parts.at(-1)).toMatchObject({ text: "5000", label: "employee salary amount" });
  });

  test("arguments of a tool call are read as JSON in strings, five deep", () => {
    const nested = (depth: number): string => {
      let value: unknown = "C\u0041NARY 1";
      for (let level = 0; level < depth; level += 1) value = JSON.stringify({ [`k${level}`]: value });
      return value as string;
    };
    const call = (depth: number): unknown => ({
      messages: [
        { role: "assistant", tool_calls: [{ id: "1", function: { name: "f", arguments: nested(depth) } }] },
      ],
    });
    expect(found(call(5), "CANARY 1")).toContain("/messages/0/tool_calls/0/function/arguments");
    expect(rules(call(5))).toEqual([]);
    expect(rules(call(6))).toEqual(["doubt.string-depth"]);
  });

  test("of a name that stands twice in a JSON string, both values are read", () => {
    const body = { prompt: "a", metadata: { x: '{"a":"CANARY","a":"b"}' } };
    expect(found(body, "CANARY")).toEqual(["/metadata"]);
  });
});

describe("a pointer ends where names begin that a client gives", () => {
  const secret = "Lina Hoffmann earns 84000";
  const parameters = { type: "object", properties: { [secret]: { description: "x" } } };
  test.each<[string, unknown, string]>([
    ["metadata", { metadata: { [secret]: { [secret]: "x" } } }, "/metadata"],
    ["a parameter that nobody knows", { [secret]: [{ content: "x" }] }, ""],
    [
      "a tool's parameters",
      { tools: [{ function: { name: "f", parameters } }] },
      "/tools/0/function/parameters",
    ],
    [
      "a schema",
      { response_format: { json_schema: { schema: parameters } } },
      "/response_format/json_schema/schema",
    ],
    [
      "arguments",
      { messages: [{ role: "assistant", tool_calls: [{ function: { arguments: `{"${secret}":["x"]}` } }] }] },
      "/messages/0/tool_calls/0/function/arguments",
    ],
    ["a message's field", { messages: [{ role: "user", content: "a", [secret]: "x" }] }, "/messages/0"],
    ["a number for a place in a list", { tools: { 84000: { content: "x" } } }, "/tools"],
    ["an unknown part", user([{ type: secret, [secret]: { 84000: "x" } }]), "/messages/0/content/0"],
    ["JSON in a field", { user: `{"content":[{"${secret}":"x"}]}` }, "/user"],
  ])("%s", (_, body, where) => {
    const { parts, doubts } = walk(body);
    const all = [...parts, ...doubts].map((each) => each.where);
    expect(all).toContain(where);
    for (const each of all) {
      expect(each).not.toMatch(/Lina|84000/);
      expect(isTextless(each), each).toBe(true);
    }
    expect(parts.some(({ label, text }) => /Lina|84000/.test(`${label} ${text}`))).toBe(true);
  });

  test("and nothing else is taken for one", () => {
    for (const where of ["", "/messages/0/content/12/text", "/metadata/data_source", "/tools/0"])
      expect(isTextless(where), where).toBe(true);
    for (const where of [
      "/",
      "messages",
      "/messages/",
      "/metadata/Lina",
      "/messages/007",
      "/messages/13800138000",
    ])
      expect(isTextless(where), where).toBe(false);
  });
});

describe("what cannot be read as text is a doubt", () => {
  test.each<[string, unknown, readonly string[]]>([
    ["no object", "text", ["doubt.body"]],
    ["nothing to read", { model: "m" }, ["doubt.no-input"]],
    ["messages that are no list", { messages: { a: 1 } }, ["doubt.messages"]],
    ["a message that is no object", { messages: ["a"] }, ["doubt.message"]],
    ["an unknown role", { messages: [{ role: "root", content: "a" }] }, ["doubt.role"]],
    ["no role", { messages: [{ content: "a" }] }, ["doubt.role"]],
    ["an image", user([{ type: "image_url", image_url: { url: "data:x" } }]), ["doubt.content-part"]],
    ["an unknown part", user([{ type: "hologram", text: "a" }]), ["doubt.content-part"]],
    ["content that is a number", user(5), ["doubt.content"]],
    ["token ids", { prompt: [1, 2, 3] }, ["doubt.tokens"]],
    ["lists of token ids", { prompt: [[1, 2], [3]] }, ["doubt.tokens"]],
    ["a prompt that is an object", { prompt: { a: "b" } }, ["doubt.prompt"]],
    [
      "arguments that are no JSON",
      { messages: [{ role: "assistant", tool_calls: [{ function: { arguments: "{a" } }] }] },
      ["doubt.arguments"],
    ],
    ["no value of JSON", { prompt: "a", x: () => 1 }, ["doubt.value"]],
  ])("%s", (_, body, expected) => {
    expect(rules(body)).toEqual(expected);
    for (const { class: value } of walk(body).doubts) expect(value).toBe("restricted");
  });

  test("the text of an unknown part is read all the same", () => {
    expect(found(user([{ type: "hologram", text: "CANARY" }]), "CANARY")).toEqual([
      "/messages/0/content/0/text",
    ]);
  });

  test("too deep, too many, too long", () => {
    let deep: unknown = "a";
    for (let level = 0; level < 100; level += 1) deep = [deep];
    expect(rules({ prompt: "a", deep })).toEqual(["doubt.nesting"]);
    const small = { ...WALK_BOUNDS, partsMax: 2, charactersMax: 10 };
    expect(walkRequest({ prompt: ["a", "b", "c"] }, small).doubts.map(({ rule }) => rule)).toEqual([
      "doubt.size",
    ]);
    expect(walkRequest({ prompt: "a".repeat(11) }, small).doubts.map(({ rule }) => rule)).toEqual([
      "doubt.size",
    ]);
  });
});

test("an ordinary request leaves no doubt", () => {
  const body = {
    model: "m",
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: [{ type: "text", text: "What is the time?" }] },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "1", type: "function", function: { name: "clock", arguments: "" } }],
      },
      { role: "tool", tool_call_id: "1", content: "12:00" },
    ],
    temperature: 0.5,
    stop: null,
    stream: true,
  };
  expect(rules(body)).toEqual([]);
});
