/** What is said about data beside their text: it can raise the class, and what nobody knows raises it to the top. */
import { describe, expect, test } from "vitest";
import { type Declared, declaredVotes } from "../../../engine/routing/declared.ts";

const policy = {
  tools: new Map([["payroll_lookup", "restricted" as const]]),
  connectors: new Map([
    ["wiki", "internal" as const],
    ["website", "public" as const],
  ]),
};
const votes = (said: Partial<Declared> = {}, body: unknown = {}) =>
  declaredVotes(body, { label: undefined, source: undefined, classFloor: "public", ...said }, policy);

describe("labels", () => {
  test.each([
    ["public", []],
    ["internal", [{ rule: "declared.header", class: "internal", where: "" }]],
    [" Restricted ", [{ rule: "declared.header", class: "restricted", where: "" }]],
    ["secret", [{ rule: "declared.header", class: "restricted", where: "" }]],
    ["public, restricted", [{ rule: "declared.header", class: "restricted", where: "" }]],
    ["", [{ rule: "declared.header", class: "restricted", where: "" }]],
  ] as const)("the header %j", (label, expected) => {
    expect(votes({ label })).toEqual(expected);
  });

  test("a key's floor is a vote like any other", () => {
    expect(votes({ classFloor: "personal" })).toEqual([
      { rule: "declared.key", class: "personal", where: "" },
    ]);
  });
});

describe("sources", () => {
  test.each([
    ["website", []],
    ["wiki", ["internal"]],
    ["slack-export", ["restricted"]],
  ] as const)("%s, in the header or in the metadata", (source, expected) => {
    expect(votes({ source }).map((vote) => vote.class)).toEqual(expected);
    const inBody = votes({}, { metadata: { data_source: source } });
    expect(inBody.map((vote) => vote.class)).toEqual(expected);
    for (const vote of inBody) expect(vote.where).toBe("/metadata/data_source");
  });

  test("one that is no name is not known", () => {
    expect(votes({}, { metadata: { data_source: 7 } })).toMatchObject([{ class: "restricted" }]);
    expect(votes({}, { metadata: { data_source: null } })).toEqual([]);
  });
});

test.each([
  [
    "/tools/1",
    {
      tools: [{ function: { name: "weather" } }, { type: "function", function: { name: "payroll_lookup" } }],
    },
  ],
  ["/tools/0", { tools: [{ name: "payroll_lookup" }] }],
  ["/functions/0", { functions: [{ name: "payroll_lookup" }] }],
  [
    "/messages/0",
    { messages: [{ role: "assistant", tool_calls: [{ function: { name: "payroll_lookup" } }] }] },
  ],
  ["/messages/0", { messages: [{ role: "assistant", function_call: { name: "payroll_lookup" } }] }],
  [
    "/messages/1",
    { messages: [{ role: "user" }, { role: "function", name: "payroll_lookup", content: "1" }] },
  ],
])("a tool with a class is seen at %s", (where, body) => {
  expect(votes({}, body)).toEqual([{ rule: "declared.tool", class: "restricted", where }]);
});

test("a person who is named like a tool is none", () => {
  expect(votes({}, { messages: [{ role: "user", name: "payroll_lookup", content: "hi" }] })).toEqual([]);
});

test.each([
  undefined,
  null,
  3,
  "text",
  [],
  { tools: 3, messages: "x", functions: {}, metadata: [] },
  { messages: [null, 3] },
])("%j is no reason to fail", (body) => {
  expect(votes({}, body)).toEqual([]);
});
