/** The local engine: prompts are rendered and encoded once, and long ones let streams go on. */
import { describe, expect, test } from "vitest";
import { says } from "../../support/scripted-lane.ts";
import { byteCodec } from "../../support/scripted-lane-codec.ts";
import { readAll, STORY, scriptedEngine } from "../../support/scripted-lane-engine.ts";

describe("the choices of one request", () => {
  const counting = (limits: { slotTokens?: number } = {}) => {
    const seen = { encoded: 0, rendered: 0 };
    const codec: Partial<typeof byteCodec> = {
      encode: (text, options) => {
        seen.encoded += 1;
        return byteCodec.encode(text, options);
      },
      renderChat: (messages, tools) => {
        seen.rendered += 1;
        return byteCodec.renderChat(messages, tools);
      },
    };
    return { seen, ...scriptedEngine({ codec, limits, lanes: [{ next: says(STORY) }] }) };
  };
  const choices = [0, 1, 2, 3];

  test("share a prompt that is rendered and encoded once, and echo its own text", async () => {
    const { answer, seen } = counting();
    const chat = { kind: "chat", messages: [{ role: "user", content: "hi" }] } as const;
    const chats = await Promise.all(choices.map((choice) => answer({ prompt: chat, choice, maxTokens: 3 })));
    expect(chats.map(({ text }) => text)).toEqual(choices.map(() => "the"));
    expect(seen).toEqual({ encoded: 1, rendered: 1 });
    const text = { kind: "text", text: "hé" } as const;
    const echoes = await Promise.all(choices.map((choice) => answer({ prompt: text, choice, echo: true })));
    expect(echoes.map(({ events }) => events[1])).toEqual(
      choices.map(() => expect.objectContaining({ kind: "prompt", text: "hé" })),
    );
    expect(seen.encoded).toBe(2);
  });

  test("hear of tools that the model's template takes no notice of, and only of those", async () => {
    const tools = [{ type: "function", function: { name: "f" } }];
    const messages = [{ role: "user", content: "hi" }] as const;
    const ignores = (renderChat: typeof byteCodec.renderChat, asked: readonly unknown[] | undefined) =>
      scriptedEngine({ codec: { renderChat } })
        .answer({ prompt: { kind: "chat", messages, ...(asked === undefined ? {} : { tools: asked }) } })
        .then(({ events }) => events[0]);
    const plain = byteCodec.renderChat;
    const shows: typeof plain = (all, given) => `${JSON.stringify(given ?? [])}${plain(all, given)}`;
    const wants: typeof plain = (all, given) => {
      if (given === undefined) throw new Error("no tools");
      return plain(all, given);
    };
    expect(await ignores(plain, tools)).toMatchObject({ kind: "started", toolsIgnored: true });
    expect(await ignores(plain, undefined)).not.toHaveProperty("toolsIgnored");
    expect(await ignores(plain, [])).not.toHaveProperty("toolsIgnored");
    expect(await ignores(shows, tools)).not.toHaveProperty("toolsIgnored");
    expect(await ignores(wants, tools)).not.toHaveProperty("toolsIgnored");
  });

  test("render once where there are no tools, and twice, for all choices together, where there are", async () => {
    const messages = [{ role: "user", content: "hi" }] as const;
    const tools = [{ type: "function", function: { name: "f" } }];
    const rendered = async (more: { readonly tools?: readonly unknown[] }): Promise<number> => {
      const { answer, seen } = counting();
      const prompt = { kind: "chat", messages, ...more } as const;
      await Promise.all(choices.map((choice) => answer({ prompt, choice, maxTokens: 1 })));
      return seen.rendered;
    };
    expect(await rendered({})).toBe(1);
    expect(await rendered({ tools: [] })).toBe(1);
    expect(await rendered({ tools })).toBe(2);
  });

  test("are refused together by one look at the prompt", async () => {
    const { answer, seen } = counting();
    const prompt = { kind: "text", text: "p".repeat(100) } as const;
    const results = await Promise.allSettled(choices.map((choice) => answer({ prompt, choice })));
    for (const result of results) {
      expect(result).toMatchObject({ status: "rejected", reason: { code: "context_length_exceeded" } });
    }
    expect(seen.encoded).toBe(1);
  });

  test("that a client left before they were encoded leave the prompt good for others", async () => {
    const { answer, ask, seen } = counting({ slotTokens: 8_192 });
    const first = { kind: "text", text: "a".repeat(5_000) } as const;
    const prompt = { kind: "text", text: "b".repeat(5_000) } as const;
    const abort = new AbortController();
    const ahead = answer({ prompt: first, maxTokens: 1 });
    const left = readAll(ask({ prompt, maxTokens: 1 }, abort.signal));
    abort.abort();
    await expect(left).rejects.toMatchObject({ code: "cancelled" });
    expect(seen.encoded).toBe(1);
    await ahead;
    expect((await answer({ prompt, maxTokens: 1 })).text).toBe("t");
  });
});

test("long texts are encoded one a turn of the event loop, so that streams go on between them", async () => {
  const seen: string[] = [];
  const encode: typeof byteCodec.encode = (text, options) => {
    seen.push(text.slice(0, 1));
    return byteCodec.encode(text, options);
  };
  const { answer } = scriptedEngine({ codec: { encode }, limits: { slotTokens: 8_192 } });
  const asked = ["a", "b", "c"].map((letter) => answer({ prompt: letter.repeat(5_000), maxTokens: 1 }));
  for (let i = 0; i < 3; i += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    seen.push("|");
  }
  await Promise.all(asked);
  expect(seen.join("")).toMatch(/^a\|+b\|+c/);
});
