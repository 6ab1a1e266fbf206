import fc from "fast-check";
import { expect, test } from "vitest";
import { warningHeader } from "../../../server/plugins/ignored.ts";
import { requestIdOf } from "../../../server/plugins/request-id.ts";
import { chatRequests, completionRequests } from "../../../server/routes/requests.ts";
import { chatBody } from "../../../server/schema/chat.ts";
import { completionBody } from "../../../server/schema/completions.ts";
import { parseBody } from "../../../server/schema/parse.ts";
import { scriptedCard } from "../../support/scripted-generator.ts";

const card = scriptedCard("m");
const target = { name: card.name, card };
const bounds = { choicesMax: 8, promptsMax: 4, messagesMax: 10 };
let seeds = 100;
const context = {
  id: "id",
  randomSeed: () => {
    seeds += 1;
    return seeds;
  },
  generationsMax: 8,
};
const completion = (body: object) =>
  completionRequests(
    parseBody(completionBody(bounds), { model: "m", prompt: "a", ...body }),
    target,
    context,
  );
const chat = (body: object) => {
  const messages = [{ role: "user", content: "a" }];
  return chatRequests(parseBody(chatBody(bounds), { model: "m", messages, ...body }), target, context);
};

test("OpenAI's defaults hold: 16 tokens for a completion, no bound for a chat, temperature 1", () => {
  expect(completion({})[0]).toMatchObject({ maxTokens: 16, sampling: { temperature: 1, topP: 1, topK: 0 } });
  expect(chat({})[0]?.maxTokens).toBeUndefined();
  expect(chat({ max_tokens: 5, max_completion_tokens: 7 })[0]?.maxTokens).toBe(7);
  expect(completion({ max_tokens: null, temperature: null })[0]).toMatchObject({ maxTokens: 16 });
});

test("each choice has its own seed: counted on from the client's, drawn anew without one", () => {
  expect(completion({ n: 3, seed: 7 }).map((request) => request.sampling.seed)).toEqual([7, 8, 9]);
  expect(new Set(completion({ n: 3 }).map((request) => request.sampling.seed)).size).toBe(3);
  const listed = completion({ n: 2, seed: 7, prompt: ["a", "b"] });
  expect(listed.map((request) => [request.choice, request.sampling.seed])).toEqual([
    [0, 7],
    [1, 8],
    [2, 7],
    [3, 8],
  ]);
});

test("any whole number is a seed, also negative ones and those beyond 2^53", () => {
  fc.assert(
    fc.property(fc.oneof(fc.maxSafeInteger(), fc.constantFrom(-1, 2 ** 63, -(2 ** 63), 1e300)), (seed) => {
      for (const { sampling } of completion({ n: 2, seed })) {
        expect(Number.isSafeInteger(sampling.seed) && sampling.seed >= 0).toBe(true);
      }
    }),
  );
});

test("top_p 0 means the most likely token, top_k -1 means off", () => {
  const [request] = completion({ top_p: 0, top_k: -1 });
  expect(request?.sampling.topP).toBeGreaterThan(0);
  expect(request?.sampling.topP).toBeLessThan(1e-6);
  expect(request?.sampling.topK).toBe(0);
});

test("prompts times n is bounded", () => {
  expect(completion({ n: 4, prompt: ["a", "b"] })).toHaveLength(8);
  expect(() => completion({ n: 5, prompt: ["a", "b"] })).toThrow(/prompts times n is 10/);
});

test("text parts are joined, old function messages become tool messages, tools reach the template unless 'none'", () => {
  const messages = [
    {
      role: "user",
      content: [
        { type: "text", text: "a" },
        { type: "text", text: "b" },
      ],
      name: "ada",
    },
    { role: "assistant", content: null, function_call: { name: "f", arguments: "{}" } },
    { role: "function", name: "f", content: "1" },
  ];
  const tools = [{ type: "function", function: { name: "f", strict: true } }];
  const prompt = chat({ messages, tools })[0]?.prompt;
  expect(prompt).toEqual({
    kind: "chat",
    messages: [
      { role: "user", content: "a\nb", name: "ada" },
      { role: "assistant", content: "", toolCalls: [{ id: "", name: "f", arguments: "{}" }] },
      { role: "tool", content: "1", name: "f" },
    ],
    tools,
  });
  expect(chat({ tools, tool_choice: "none" })[0]?.prompt).not.toHaveProperty("tools");
});

test("a model without a chat template refuses a chat and says where to go", () => {
  const plain = scriptedCard("plain", { hasChatTemplate: false });
  const body = parseBody(chatBody(bounds), { model: "plain", messages: [{ role: "user", content: "a" }] });
  expect(() => chatRequests(body, { name: "plain", card: plain }, context)).toThrow(
    /no chat template; send its prompt to \/v1\/completions/,
  );
});

test("the warning header is short visible ASCII whatever the names are", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "binary", maxLength: 300 }), { minLength: 1, maxLength: 30 }),
      (names) => {
        const header = warningHeader(names);
        expect(header).toMatch(/^299 weir "ignored parameters: [\w?., -]*"$/);
        expect(header.length).toBeLessThan(600);
      },
    ),
  );
});

test("only a decent request id is taken over", () => {
  const idOf = (value: string | undefined) =>
    requestIdOf({ headers: { "x-request-id": value } as never }, () => "new");
  expect([idOf("abc"), idOf(undefined), idOf(""), idOf("a b"), idOf("ä"), idOf("x".repeat(129))]).toEqual([
    "abc",
    ...Array(5).fill("new"),
  ]);
});
