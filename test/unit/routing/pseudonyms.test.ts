/** Values out of a request, placeholders in; and values back into the answer, however it is cut. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { tokenId } from "../../../engine/core/brand.ts";
import { WeirError } from "../../../engine/core/errors.ts";
import type { GenerationEvent } from "../../../engine/core/generator.ts";
import type { ChatMessage, GenerationRequest, Prompt } from "../../../engine/core/request.ts";
import { classify } from "../../../engine/routing/classify.ts";
import {
  everyPlaceholder,
  PLACEHOLDERS_MAX,
  PlaceholderReader,
} from "../../../engine/routing/pseudonyms/placeholders.ts";
import { type Pseudonymised, pseudonymise } from "../../../engine/routing/pseudonyms.ts";
import { RECOGNISERS, recognised } from "../../../engine/routing/recognisers/index.ts";
import { createTopicModel, readTopicModel } from "../../../engine/routing/topic-model.ts";
import { USAGE } from "../../support/answers.ts";
import { answerOf, callsOf, events, requestOf, textsOf } from "../../support/pseudonyms.ts";

const MAIL = "support@firma.cn";
const HOST = "192.168.1.17";

const hidden = (prompt: Prompt | string, stop: readonly string[] = []): Pseudonymised => {
  const done = pseudonymise(requestOf(prompt, stop));
  if (done === undefined) throw new Error("it could not be done");
  return done;
};
const outgoing = (text: string): string => textsOf(hidden(text).request)[0] as string;
const chat = (...messages: readonly ChatMessage[]): Prompt => ({ kind: "chat", messages });
const calling = (args: string): ChatMessage => ({
  role: "assistant",
  content: "",
  toolCalls: [{ id: "call_1", name: "send", arguments: args }],
});

describe("what leaves", () => {
  test("has one placeholder for each value, the same wherever the value stands", () => {
    expect(outgoing(`Ask ${MAIL} or info@firma.cn; ${MAIL} is faster. Host: ${HOST}.`)).toBe(
      "Ask [INBOX-BL] or [INBOX-CN]; [INBOX-BL] is faster. Host: [HOST-DP].",
    );
  });

  test("has no value in any of its texts", () => {
    const { request } = hidden(
      {
        kind: "chat",
        messages: [
          { role: "system", content: `Mail goes to ${MAIL}.` },
          { role: "user", content: "Send it", name: MAIL },
          calling(JSON.stringify({ to: [MAIL], [HOST]: { note: `from ${HOST}`, inner: `{"a":"${MAIL}"}` } })),
          { role: "tool", content: `sent to ${MAIL}`, toolCallId: "call_1" },
        ],
        tools: [
          {
            type: "function",
            function: {
              name: "send",
              description: `As ${MAIL}`,
              parameters: { type: "object", properties: { to: { enum: [MAIL], default: 3 } } },
            },
          },
        ],
      },
      [`\n${MAIL}`],
    );
    const json = JSON.stringify(request);
    expect(json).not.toContain(MAIL);
    expect(json).not.toContain(HOST);
    expect(json.match(/\[INBOX-BL\]/g)).toHaveLength(8);
    expect(json.match(/\[HOST-CN\]/g)).toHaveLength(2);
  });

  test("keeps every other character of arguments", () => {
    const args = `{ "n": 1.50, "big": 9007199254740993, "s":"\\u0041\\/", "m":"\\u0073upport@firma.cn" , "n": 2}`;
    const { prompt } = hidden(chat(calling(args))).request;
    const written = prompt.kind === "chat" ? prompt.messages[0]?.toolCalls?.[0]?.arguments : undefined;
    expect(written).toBe(args.replace("\\u0073upport@firma.cn", "[INBOX-BL]"));
  });

  test("holds a value also where only its first place says what it is", () => {
    expect(outgoing(`Employee id: E-20931. ${"x ".repeat(3000)} Once more: E-20931`)).toMatch(
      /^Employee id: \[FACT-BL\]\. .* Once more: \[FACT-BL\]$/,
    );
  });

  test("is the very same request where there is no value", () => {
    const request = requestOf("What is a prime number?");
    expect(pseudonymise(request)?.request).toBe(request);
  });

  test("leaves out placeholders that somebody wrote", async () => {
    const text = `In the template, [ inbox bl ] and \\[HOST-CN\\] stand for ${MAIL} and ${HOST}.`;
    const { request, restore } = hidden(text);
    expect(textsOf(request)[0]).toBe(text.replace(MAIL, "[INBOX-CN]").replace(HOST, "[HOST-DP]"));
    expect(await answerOf(restore, textsOf(request))).toBe(text);
  });

  test("replaces all that overlaps", () => {
    // As a whole a password, and an address of mail in it.
    expect(outgoing(`password: ${MAIL}7xK`)).toBe("password: [KEY-BL]");
  });

  test.each([...new Set(RECOGNISERS.flatMap(({ examples }) => examples.hits))])(
    "holds nothing that a recogniser finds: %j",
    async (text) => {
      const { request, restore } = hidden(text);
      expect(recognised(textsOf(request)[0] as string)).toEqual([]);
      expect(await answerOf(restore, textsOf(request))).toBe(text);
    },
  );
});

describe("a placeholder", () => {
  test("is no value, no word and no code to anybody who reads the request", () => {
    const topics = { votes: () => [{ topic: "public" as const, score: 1, where: "" }] };
    const around = [...new Set(RECOGNISERS.flatMap(({ words }) => Object.values(words ?? {})).flat())];
    for (const [index, placeholder] of everyPlaceholder().entries()) {
      const word = around[index % around.length] as string;
      expect(placeholder).toMatch(/^\[[A-Z]{2,6}-[A-Z]{2}\]$/);
      // Some words say enough by themselves.
      if (recognised(`${word} 、 ${word}`).length > 0) continue;
      const content = `${word} ${placeholder}${placeholder}, ${placeholder} ${word}`;
      const { class: value, evidence } = classify({ messages: [{ role: "user", content }] }, { topics });
      expect(value, `${content} ${JSON.stringify(evidence)}`).toBe("public");
    }
  });

  test("says next to nothing to the shipped topic model", () => {
    const model = new URL("../../../engine/routing/topic-model.bin", import.meta.url);
    const topics = createTopicModel(readTopicModel(readFileSync(model)));
    for (const sentence of [
      "The service on {} answers slowly, why?",
      "Explain what runs on {} and how to restart it.",
      "Set the variable to {} and run the tests again.",
      "请解释{}的作用",
    ]) {
      const raised = everyPlaceholder().filter((placeholder) => {
        const content = sentence.replace("{}", placeholder);
        return classify({ messages: [{ role: "user", content }] }, { topics }).class !== "public";
      });
      expect(raised.length / everyPlaceholder().length, sentence).toBeLessThan(0.01);
    }
  });

  test("is one of its own", () => {
    const all = everyPlaceholder();
    expect(new Set(all).size).toBe(all.length);
  });
});

describe("it cannot be done", () => {
  const tool = (change: object) => ({
    type: "function",
    function: { name: "send", parameters: { type: "object" }, ...change },
  });
  const withTool = (change: object): GenerationRequest =>
    requestOf({ kind: "chat", messages: [{ role: "user", content: "hi" }], tools: [tool(change)] });
  const many = (count: number): string =>
    Array.from({ length: count }, (_, i) => `10.1.${Math.floor(i / 200)}.${(i % 200) + 1}`).join(" ; ");

  test.each<[string, GenerationRequest]>([
    ["for a prompt of tokens", requestOf({ kind: "tokens", tokens: [tokenId(1)] })],
    ["for arguments that are no JSON", requestOf(chat(calling(`{to: ${MAIL}}`)))],
    ["for a value in a number", requestOf(chat(calling('{"phone number": 4567890}')))],
    ["for a value in a call's name", requestOf(chat({ ...calling("{}"), toolCallId: HOST }))],
    ["for a value in a tool's name", withTool({ name: MAIL })],
    ["for a value in the name of a tool's parameter", withTool({ parameters: { [HOST]: {} } })],
    ["for what is no JSON in a tool", withTool({ parameters: { f: () => MAIL } })],
    ["for more values than there are placeholders", requestOf(many(PLACEHOLDERS_MAX + 1))],
    ["for a stop string in the middle of a placeholder", requestOf(MAIL, ["]"])],
    ["for a stop string that ends with a placeholder's beginning", requestOf(MAIL, ["see [IN"])],
    ["for a stop string that begins with a placeholder's end", requestOf(MAIL, ["BL]."])],
  ])("%s", (_, request) => {
    expect(pseudonymise(request)).toBeUndefined();
  });

  test("but for as many values as there are placeholders, and for stop strings that hold whole ones", async () => {
    const text = many(PLACEHOLDERS_MAX);
    const { request, restore } = hidden(text);
    expect(await answerOf(restore, textsOf(request))).toBe(text);
    expect(hidden(MAIL, [`to ${MAIL}`, "\n", "END"]).request.stop).toEqual(["to [INBOX-BL]", "\n", "END"]);
  });
});

describe("the answer", () => {
  const { restore } = hidden(`${MAIL} ${HOST}`);
  const said = (text: string): Promise<string> => answerOf(restore, [text]);

  test.each([
    ["[INBOX-BL]", MAIL],
    ["**[INBOX-BL]**, [HOST-CN].", `**${MAIL}**, ${HOST}.`],
    ["[[INBOX-BL]](mailto:[INBOX-BL])", `[${MAIL}](mailto:${MAIL})`],
    ["[inbox-bl] and [Inbox-Bl]", `${MAIL} and ${MAIL}`],
    ["\\[INBOX-BL\\] in \\\\[HOST-CN\\\\]", `${MAIL} in ${HOST}`],
    ["[ INBOX-BL ] [INBOX - BL] [INBOX BL] [INBOX_BL]", `${MAIL} ${MAIL} ${MAIL} ${MAIL}`],
    ["[INBOX\u2011BL] [INBOX\u2013BL]", `${MAIL} ${MAIL}`],
    ["【INBOX-BL】 ［INBOX-BL］", `${MAIL} ${MAIL}`],
    ["\\\\[HOST-CN]\\share", `\\\\${HOST}\\share`],
  ])("with %j has the values back", async (text, meant) => {
    expect(await said(text)).toBe(meant);
    expect(await answerOf(restore, [...text])).toBe(meant);
  });

  test.each([
    "[INBOX-CN]",
    "[INBOX-BLB]",
    "[INBOX-B L]",
    "[IN BOX-BL]",
    "[INBOX--BL]",
    "[INBOX-BL\\]",
    "[INBOX-BL",
    "INBOX-BL",
    "[INBOX   -BL]",
    "[INBOX\n-BL]",
    "[1, 2][E]",
    "\\[x\\] \\",
  ])("with %j, which was never given out, stays as it is", async (text) => {
    expect(await said(text)).toBe(text);
    expect(await answerOf(restore, [...text])).toBe(text);
  });

  test("comes at once unless it may be the beginning of a placeholder", async () => {
    const told: string[] = [];
    for (const parts of [["The "], ["list[0"], ["[I", "x"], ["a [INBOX", "-", "BL] b"], ["[F"]]) {
      for await (const event of restore(events(parts.map(text)))) {
        if (event.kind === "text") told.push(event.text);
      }
      told.push("|");
    }
    expect(told).toEqual(["The ", "|", "list[0", "|", "[Ix", "|", "a ", `${MAIL} b`, "|", "[F", "|"]);
  });

  test("has the values back in each call's arguments, which may alternate", async () => {
    const first = '{"to":["[INBOX-BL]"]}';
    const second = '{"host":"\\\\\\\\[HOST-CN]\\\\x"}';
    const sent: GenerationEvent[] = [];
    for (let at = 0; at < Math.max(first.length, second.length); at += 1) {
      for (const [index, json] of [first, second].entries()) {
        const opening = at === 0 ? { id: `c${index}`, name: "f" } : undefined;
        sent.push({ kind: "tool_call", index, opening, arguments: json.slice(at, at + 1) });
      }
    }
    const calls = await callsOf(restore(events(sent)));
    expect(calls.map(({ name }) => name)).toEqual(["f", "f"]);
    expect(calls.map((call) => JSON.parse(call.arguments))).toEqual([
      { to: [MAIL] },
      { host: `\\\\${HOST}\\x` },
    ]);
  });

  test("ends with what it held back, of its text and of each call", async () => {
    const opening = { id: "c", name: "f" };
    const end: GenerationEvent = { kind: "finished", reason: "length", usage: USAGE };
    const call = (index: number, part: string): GenerationEvent => ({
      kind: "tool_call",
      index,
      opening: part === "" ? opening : undefined,
      arguments: part,
    });
    const sent = [text("see ["), call(0, ""), call(0, '"[H'), call(1, ""), call(1, "\\"), end];
    const told: GenerationEvent[] = [];
    for await (const event of restore(events(sent))) told.push(event);
    expect(told).toEqual([
      text("see "),
      call(0, ""),
      call(0, '"'),
      call(1, ""),
      text("["),
      call(0, "[H"),
      call(1, "\\"),
      end,
    ]);
  });

  test("keeps its tokens in order, each with the last of its text", async () => {
    const sent = ["a ", "[INBOX", "-", "BL]", " b"].map((part, i): GenerationEvent => {
      const token = { token: tokenId(i), text: part, bytes: [], logprob: -i, offset: 0, top: [] };
      return { kind: "text", text: part, tokens: [tokenId(i)], logprobs: [token] };
    });
    const told: (readonly [string, readonly number[], readonly number[]])[] = [];
    for await (const event of restore(events(sent))) {
      if (event.kind === "text") {
        told.push([event.text, event.tokens, event.logprobs.map(({ logprob }) => logprob)]);
      }
    }
    expect(told).toEqual([
      ["a ", [0], [-0]],
      [MAIL, [1, 2, 3], [-1, -2, -3]],
      [" b", [4], [-4]],
    ]);
  });

  test("that breaks off gives what it held back, then the error", async () => {
    const failing = async function* (): AsyncGenerator<GenerationEvent> {
      yield text("so [INBOX-B");
      throw new WeirError("backend_failed", "It broke off.");
    };
    let told = "";
    const read = async (): Promise<void> => {
      for await (const event of restore(failing())) if (event.kind === "text") told += event.text;
    };
    await expect(read()).rejects.toThrow("It broke off.");
    expect(told).toBe("so [INBOX-B");
  });

  test("that nobody reads to its end ends the backend's answer too", async () => {
    let ended = false;
    const endless = async function* (): AsyncGenerator<GenerationEvent> {
      try {
        for (;;) yield text("x");
      } finally {
        ended = true;
      }
    };
    for await (const _ of restore(endless())) break;
    expect(ended).toBe(true);
  });
});

test("the reader sees no more than the set that it was given", () => {
  const none = new PlaceholderReader([]);
  expect(none.read("[INBOX-BL]", 0)).toEqual({ kind: "none" });
});

const text = (part: string): GenerationEvent => ({ kind: "text", text: part, tokens: [], logprobs: [] });
