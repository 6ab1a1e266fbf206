import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { tokenId } from "../../../engine/core/brand.ts";
import { WeirError } from "../../../engine/core/errors.ts";
import type { GenerationEvent } from "../../../engine/core/generator.ts";
import type { GenerationRequest } from "../../../engine/core/request.ts";
import { type ModelEntry, ModelHost, type OpenModel } from "../../../engine/local/model-host.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { newRequest } from "../../support/requests.ts";
import { byteCard, byteCodec, textOf } from "../../support/scripted-lane-codec.ts";

const requestFor = (model: string): GenerationRequest => newRequest({ model, prompt: "a", maxTokens: 1 });

/** One installed model: what happened to it, and handles to let its opening and closing take time. */
class Shelved {
  readonly name: string;
  bytes = 100;
  version = "1";
  opens = 0;
  closes = 0;
  /** Bytes of this model that are in memory. */
  held = 0;
  gate: Promise<void> | undefined;
  closeGate: Promise<void> | undefined;
  broken: Error | undefined;

  constructor(name: string) {
    this.name = name;
  }

  entry(): ModelEntry {
    const { name, bytes, version } = this;
    return {
      card: { ...byteCard, name },
      version,
      residentBytes: bytes,
      open: () => this.#open(bytes, version),
    };
  }

  async #open(bytes: number, version: string): Promise<OpenModel> {
    this.opens += 1;
    await this.gate;
    if (this.broken !== undefined) throw this.broken;
    this.held += bytes;
    const text = `${this.name} ${version}`;
    return {
      tokenize: (words, addSpecial) => byteCodec.encode(words, { addSpecial }).map(tokenId),
      detokenize: textOf,
      async *generate() {
        yield { kind: "started", promptTokens: 1 };
        yield { kind: "text", text, tokens: [], logprobs: [] };
      },
      close: async () => {
        this.closes += 1;
        await this.closeGate;
        this.held -= bytes;
      },
    };
  }
}

function shelf(
  names: readonly string[],
  options: { budget?: number; aliases?: Record<string, string> } = {},
) {
  const clock = new FakeClock();
  const all = names.map((name) => new Shelved(name));
  const host = new ModelHost(clock, () => all.map((model) => model.entry()), {
    memoryBytesMax: options.budget ?? 1_000_000,
    aliases: options.aliases ?? {},
  });
  const of = (name: string): Shelved => {
    const model = all.find((one) => one.name === name);
    if (model === undefined) throw new Error(`${name} is not in this test`);
    return model;
  };
  /** The whole text of an answer. */
  const ask = async (name: string): Promise<string> => {
    clock.advance(1);
    let text = "";
    for await (const event of host.generate(requestFor(name), new AbortController().signal)) {
      if (event.kind === "text") text += event.text;
    }
    return text;
  };
  /** An answer that has begun and is not read further until it is left. */
  const begin = async (name: string) => {
    clock.advance(1);
    const answer = host.generate(requestFor(name), new AbortController().signal)[Symbol.asyncIterator]();
    const first = await answer.next();
    return {
      first: first.value as GenerationEvent,
      next: () => answer.next(),
      leave: () => answer.return?.(undefined),
    };
  };
  const heldBytes = (): number => all.reduce((sum, { held }) => sum + held, 0);
  return { host, of, ask, begin, heldBytes, clock, all };
}

const settled = async (): Promise<void> => {
  for (let turns = 0; turns < 20; turns += 1) await turn();
};

describe("finding and loading a model", () => {
  test("it is loaded on first use, and then kept", async () => {
    const { host, of, ask } = shelf(["a", "b"]);
    expect(of("a").opens).toBe(0);
    expect(await ask("a")).toBe("a 1");
    expect(await ask("a")).toBe("a 1");
    expect({ a: of("a").opens, b: of("b").opens }).toEqual({ a: 1, b: 0 });
    expect(host.open).toEqual(["a"]);
  });

  test("requests that come while it is loading share the one load", async () => {
    const { of, ask, host } = shelf(["a"]);
    const gate = Promise.withResolvers<void>();
    of("a").gate = gate.promise;
    const asked = [ask("a"), ask("a"), host.tokenize("a", "hi", false).then((tokens) => textOf(tokens))];
    await settled();
    gate.resolve();
    expect(await Promise.all(asked)).toEqual(["a 1", "a 1", "hi"]);
    expect(of("a").opens).toBe(1);
  });

  test("the list keeps the shelf's order, with the default model first", () => {
    const { host } = shelf(["resident", "a", "b"]);
    expect(host.list().map(({ name }) => name)).toEqual(["resident", "a", "b"]);
  });

  test("an alias leads to the model that answers, and is no model of its own", async () => {
    const { host, ask, of } = shelf(["a", "b"], { aliases: { "gpt-4o-mini": "b", gone: "c" } });
    expect(await ask("gpt-4o-mini")).toBe("b 1");
    expect(await ask("b")).toBe("b 1");
    expect(of("b").opens).toBe(1);
    expect(host.find("gpt-4o-mini")?.name).toBe("b");
    expect(host.find("gone")).toBeUndefined();
    expect(host.list()).toHaveLength(2);
  });

  test("an unknown name is refused with the parameter, and shown short and printable", async () => {
    const { ask } = shelf(["a"]);
    await expect(ask(`x\u0000${"y".repeat(1_000)}`)).rejects.toMatchObject({
      code: "model_not_found",
      param: "model",
      message: expect.stringMatching(/^The model "x\?y{126}" is not installed; GET \/v1\/models/),
    });
  });

  test("warming loads it before anybody asks", async () => {
    const { host, of } = shelf(["a"]);
    await host.warm("a");
    expect(of("a").held).toBe(100);
  });
});

describe("a model that cannot be loaded", () => {
  test("gives its error to all who wait, and the next request tries again", async () => {
    const { of, ask, host } = shelf(["a"]);
    const gate = Promise.withResolvers<void>();
    of("a").gate = gate.promise;
    of("a").broken = new WeirError("model_load_failed", "its graph is damaged");
    const asked = [ask("a"), ask("a"), host.detokenize("a", [])];
    await settled();
    gate.resolve();
    const results = await Promise.allSettled(asked);
    for (const result of results) {
      expect(result).toMatchObject({ status: "rejected", reason: { code: "model_load_failed" } });
    }
    expect(of("a").opens).toBe(1);
    expect(host.open).toEqual([]);
    of("a").broken = undefined;
    expect(await ask("a")).toBe("a 1");
    expect(of("a").opens).toBe(2);
  });

  test("takes no room from others once it has failed", async () => {
    const { of, ask } = shelf(["a", "b"], { budget: 100 });
    of("a").broken = new WeirError("model_load_failed", "its graph is damaged");
    await expect(ask("a")).rejects.toMatchObject({ code: "model_load_failed" });
    expect(await ask("b")).toBe("b 1");
  });
});

describe("the memory budget", () => {
  test("the least recently used idle model makes room, and only as many as needed", async () => {
    const { ask, host, of, heldBytes } = shelf(["a", "b", "c", "d"], { budget: 300 });
    for (const name of ["a", "b", "c"]) await ask(name);
    await ask("a");
    expect(host.open).toEqual(["a", "b", "c"]);
    await ask("d");
    expect(host.open).toEqual(["a", "c", "d"]);
    expect(of("b").closes).toBe(1);
    expect(heldBytes()).toBe(300);
    await ask("b");
    expect(host.open).toEqual(["a", "d", "b"]);
  });

  test("one large model pushes out several small ones", async () => {
    const { ask, host, of } = shelf(["a", "b", "c", "big"], { budget: 300 });
    of("big").bytes = 250;
    for (const name of ["a", "b", "c"]) await ask(name);
    await ask("big");
    expect(host.open).toEqual(["big"]);
  });

  test("is kept at every moment: the new model opens after the old one has gone", async () => {
    const { ask, of } = shelf(["a", "b"], { budget: 100 });
    await ask("a");
    const gate = Promise.withResolvers<void>();
    of("a").closeGate = gate.promise;
    const asked = ask("b");
    await settled();
    expect(of("b").opens).toBe(0);
    gate.resolve();
    expect(await asked).toBe("b 1");
    expect(of("a").held).toBe(0);
  });

  test("a model in use is not unloaded: the other waits its turn with 429, and nothing is unloaded in vain", async () => {
    const { ask, begin, of, host } = shelf(["a", "b", "c"], { budget: 200 });
    await ask("b");
    const running = await begin("a");
    of("c").bytes = 200;
    await expect(ask("c")).rejects.toMatchObject({
      code: "overloaded",
      param: "model",
      retryAfterMs: expect.any(Number),
    });
    expect(host.open).toEqual(["b", "a"]);
    await running.leave();
    expect(await ask("c")).toBe("c 1");
    expect(host.open).toEqual(["c"]);
  });

  test("a model that is loading counts as in use", async () => {
    const { ask, of } = shelf(["a", "b"], { budget: 100 });
    const gate = Promise.withResolvers<void>();
    of("a").gate = gate.promise;
    const first = ask("a");
    await settled();
    await expect(ask("b")).rejects.toMatchObject({ code: "overloaded" });
    gate.resolve();
    expect(await first).toBe("a 1");
    expect(await ask("b")).toBe("b 1");
  });

  test("one model alone may exceed it", async () => {
    const { ask, of, host } = shelf(["a", "big"], { budget: 150 });
    of("big").bytes = 10_000;
    await ask("a");
    expect(await ask("big")).toBe("big 1");
    expect(host.open).toEqual(["big"]);
  });

  test("an answer that was left in the middle gives its model back", async () => {
    const { begin, ask, host } = shelf(["a", "b"], { budget: 100 });
    const running = await begin("a");
    await running.leave();
    await ask("b");
    expect(host.open).toEqual(["b"]);
  });

  test("counts a model that was replaced until its last answer has ended", async () => {
    const { begin, ask, of, heldBytes, host } = shelf(["a", "b"], { budget: 200 });
    const running = await begin("a");
    of("a").version = "2";
    expect(await ask("a")).toBe("a 2");
    // Old and new fill it: the idle new one goes for the other, never the one that answers.
    expect(await ask("b")).toBe("b 1");
    expect({ open: host.open, held: heldBytes() }).toEqual({ open: ["b"], held: 200 });
    of("b").bytes = 200;
    of("b").version = "2";
    await expect(ask("b")).rejects.toMatchObject({ code: "overloaded", param: "model" });
    expect({ open: host.open, held: heldBytes() }).toEqual({ open: ["b"], held: 200 });
    await running.leave();
    await settled();
    expect(await ask("b")).toBe("b 2");
    expect(heldBytes()).toBe(200);
  });

  test("counts a model until it is closed: who needs its room waits for that", async () => {
    const { ask, begin, of } = shelf(["a", "b"], { budget: 200 });
    const running = await begin("a");
    of("a").version = "2";
    await ask("a");
    const gate = Promise.withResolvers<void>();
    of("a").closeGate = gate.promise;
    await running.leave();
    await settled();
    expect(of("a").closes).toBe(1);
    const asked = ask("b");
    await settled();
    expect(of("b").opens).toBe(0);
    gate.resolve();
    expect(await asked).toBe("b 1");
    // Its closing made room enough: the new one stays.
    expect(of("a").closes).toBe(1);
  });
});

describe("a model that is installed anew under its name", () => {
  test("answers new requests, while running answers end on the old one, which is then closed", async () => {
    const { begin, ask, of } = shelf(["a"]);
    const running = await begin("a");
    of("a").version = "2";
    expect(await ask("a")).toBe("a 2");
    expect({ opens: of("a").opens, closes: of("a").closes }).toEqual({ opens: 2, closes: 0 });
    expect((await running.next()).value).toMatchObject({ text: "a 1" });
    await running.next();
    await settled();
    expect(of("a").closes).toBe(1);
    expect(await ask("a")).toBe("a 2");
    expect(of("a").opens).toBe(2);
  });

  test("is closed at once where nobody uses it", async () => {
    const { ask, of } = shelf(["a"]);
    await ask("a");
    of("a").version = "2";
    expect(await ask("a")).toBe("a 2");
    expect({ closes: of("a").closes, held: of("a").held }).toEqual({ closes: 1, held: 100 });
  });
});

describe("closing the host", () => {
  test("closes every model once, also those that were replaced but are still in use, and takes no more work", async () => {
    const { host, ask, begin, of, heldBytes } = shelf(["a", "b"]);
    const running = await begin("a");
    of("a").version = "2";
    await ask("a");
    await ask("b");
    await host.close();
    expect({ a: of("a").closes, b: of("b").closes, held: heldBytes() }).toEqual({ a: 2, b: 1, held: 0 });
    await expect(ask("a")).rejects.toMatchObject({ code: "draining" });
    await running.leave();
    await settled();
    expect(of("a").closes).toBe(2);
  });

  test("waits for a model that is just loading, and closes it", async () => {
    const { host, ask, of } = shelf(["a"]);
    const gate = Promise.withResolvers<void>();
    of("a").gate = gate.promise;
    const asked = ask("a");
    await settled();
    const closing = host.close();
    gate.resolve();
    await closing;
    await asked;
    expect({ opens: of("a").opens, closes: of("a").closes, held: of("a").held }).toEqual({
      opens: 1,
      closes: 1,
      held: 0,
    });
  });
});
