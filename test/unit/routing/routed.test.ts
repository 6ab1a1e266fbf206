/** The generator behind the router: it serves what was decided, as decided, and nothing else. */
import { describe, expect, test } from "vitest";
import { createFallback } from "../../../engine/cloud/fallback.ts";
import { WeirError } from "../../../engine/core/errors.ts";
import type { GenerationEvent } from "../../../engine/core/generator.ts";
import type { GenerationRequest } from "../../../engine/core/request.ts";
import type { Decision, Route } from "../../../engine/core/route.ts";
import { type RoutedBackend, RoutedGenerator, type RoutedPorts } from "../../../engine/routing/routed.ts";
import { answer, USAGE } from "../../support/answers.ts";
import { eventsOf, remoteRequest } from "../../support/remote.ts";

interface Fake extends RoutedBackend {
  readonly asked: GenerationRequest[];
}

const backend = (
  name: string,
  zone: "onprem" | "cloud",
  says: readonly GenerationEvent[] | WeirError,
): Fake => {
  const asked: GenerationRequest[] = [];
  return {
    name,
    zone,
    asked,
    async *generate(request) {
      asked.push(request);
      if (says instanceof WeirError) throw says;
      yield* says;
    },
  };
};

function setUp(backends: readonly Fake[], ports: Partial<RoutedPorts> = {}) {
  const remembered: string[] = [];
  const generator = new RoutedGenerator({
    backends: new Map(backends.map((each) => [each.name, each])),
    inTurn: createFallback,
    pseudonymise: () => undefined,
    atDoor: (before) => ({
      ...before,
      route: { action: "refuse", class: "public", zone: "onprem", why: "private_data" },
      targets: [],
    }),
    mayLeave: async () => true,
    rememberAnswer: (caller, text, dataClass) => void remembered.push(`${caller} ${dataClass} ${text}`),
    ...ports,
  });
  return { generator, remembered };
}

const decision = (changes: Partial<Extract<Route, { action: "serve" }>> = {}): Decision => {
  const route = {
    action: "serve",
    class: "public",
    zone: "cloud",
    backends: ["a", "b"],
    pseudonymise: false,
    ...changes,
  } as const;
  return {
    route,
    content: route.class,
    pinned: undefined,
    wanted: { kind: "auto" },
    targets: route.backends.map((name) => ({ backend: name, model: `${name}-model` })),
    atDoor: { route, targets: [] },
    evidence: [],
    confidence: 1,
    policy: "ab",
    key: null,
    agent: null,
    sticky: route.class === "restricted" || route.class === "personal",
    receipt: "1-ab",
    caller: { id: "k1", name: "shop", policy: undefined, classFloor: "public", models: [] },
  };
};
const gone = new WeirError("backend_failed", "it is gone", { retryAfterMs: 70 });

test("a request that nobody decided on is not served, nor one that was refused", async () => {
  const a = backend("a", "cloud", answer("hi"));
  const { generator } = setUp([a]);
  await expect(eventsOf(generator, remoteRequest())).rejects.toThrow(/decided on/);
  const refused = remoteRequest();
  generator.bind([refused], {
    ...decision(),
    route: { action: "refuse", class: "public", zone: "cloud", why: "cloud_unavailable" },
  });
  await expect(eventsOf(generator, refused)).rejects.toThrow(/refused/);
  expect(a.asked).toEqual([]);
  // A copy is another request: the decision was about that very object.
  const bound = remoteRequest();
  generator.bind([bound], decision({ backends: ["a"] }));
  await expect(eventsOf(generator, { ...bound })).rejects.toThrow(/decided on/);
});

test("each backend is asked for its own model, and the one that answers is named", async () => {
  const [a, b] = [backend("a", "cloud", gone), backend("b", "cloud", answer("hi"))];
  const { generator } = setUp([a, b]);
  const request = remoteRequest();
  generator.bind([request], decision());
  expect(generator.outcome(request)).toMatchObject({ backend: undefined });
  expect(await eventsOf(generator, request)).toEqual(answer("hi"));
  expect([a.asked[0]?.model, b.asked[0]?.model]).toEqual(["a-model", "b-model"]);
  expect(generator.outcome(request)).toMatchObject({ backend: "b", decision: { receipt: "1-ab" } });
});

test("the cloud's door hears the class of what a backend was handed, and of nothing else", async () => {
  const a = backend("a", "cloud", answer("hi"));
  const { generator } = setUp([a]);
  const request = remoteRequest();
  generator.bind([request], decision({ backends: ["a"] }));
  await eventsOf(generator, request);
  expect(generator.classOf(a.asked[0] as GenerationRequest)).toBe("public");
  expect(generator.classOf(request)).toBe("restricted");
  expect(generator.classOf({ ...(a.asked[0] as GenerationRequest) })).toBe("restricted");
});

test("a backend of another zone is not asked, whatever the decision says", async () => {
  const a = backend("a", "cloud", answer("hi"));
  const { generator } = setUp([a]);
  const request = remoteRequest();
  generator.bind([request], decision({ class: "restricted", zone: "onprem", backends: ["a"] }));
  await expect(eventsOf(generator, request)).rejects.toThrow(/zone/);
  expect(a.asked).toEqual([]);
});

describe("with the house down", () => {
  const dead = () => [backend("a", "onprem", gone), backend("b", "onprem", gone)];

  test("private data are refused by that name, and the cloud is never asked", async () => {
    const cloud = backend("c", "cloud", answer("hi"));
    const { generator } = setUp([...dead(), cloud]);
    const request = remoteRequest();
    generator.bind([request], decision({ class: "restricted", zone: "onprem" }));
    await expect(eventsOf(generator, request)).rejects.toMatchObject({
      code: "onprem_unavailable",
      retryAfterMs: 70,
    });
    expect(cloud.asked).toEqual([]);
  });

  test("an answer that broke off says so", async () => {
    const broken: RoutedBackend = {
      name: "a",
      zone: "onprem",
      async *generate() {
        yield { kind: "started", promptTokens: 1 };
        throw gone;
      },
    };
    const { generator } = setUp([broken as Fake]);
    const request = remoteRequest();
    generator.bind([request], decision({ zone: "onprem", backends: ["a"] }));
    await expect(eventsOf(generator, request)).rejects.toMatchObject({ code: "backend_failed" });
  });

  test("a no of the house is passed on as it is", async () => {
    const { generator } = setUp([
      backend("a", "onprem", new WeirError("context_length_exceeded", "too long")),
    ]);
    const request = remoteRequest();
    generator.bind([request], decision({ zone: "onprem", backends: ["a"] }));
    await expect(eventsOf(generator, request)).rejects.toMatchObject({ code: "context_length_exceeded" });
  });
});

describe("pseudonymised", () => {
  const hidden = remoteRequest({ prompt: { kind: "text", text: "[EMAIL-1]" } });
  const pseudonymise: RoutedPorts["pseudonymise"] = () => ({
    request: hidden,
    restore: async function* (events) {
      for await (const event of events)
        yield event.kind === "text"
          ? { ...event, text: event.text.replace("[EMAIL-1]", "a@b.example") }
          : event;
    },
  });

  test("text leaves without its values, its answer comes back with them", async () => {
    const a = backend("a", "cloud", answer("write to [EMAIL-1]"));
    const { generator } = setUp([a], { pseudonymise });
    const request = remoteRequest();
    generator.bind([request], decision({ class: "internal", pseudonymise: true, backends: ["a"] }));
    expect((await eventsOf(generator, request))[1]).toMatchObject({ text: "write to a@b.example" });
    expect(a.asked[0]?.prompt).toBe(hidden.prompt);
    expect(generator.classOf(a.asked[0] as GenerationRequest)).toBe("public");
  });

  test("the choices of a request have their placeholders in common", async () => {
    const a = backend("a", "cloud", answer("hi"));
    let calls = 0;
    const { generator } = setUp([a], {
      pseudonymise: (request) => {
        calls += 1;
        return pseudonymise(request);
      },
    });
    const first = remoteRequest();
    const second = { ...first, choice: 1 };
    generator.bind([first, second], decision({ class: "internal", pseudonymise: true, backends: ["a"] }));
    await Promise.all([eventsOf(generator, first), eventsOf(generator, second)]);
    expect(calls).toBe(1);
    expect(a.asked.map(({ choice }) => choice)).toEqual([0, 1]);
  });

  test("what cannot be does not leave", async () => {
    const a = backend("a", "cloud", answer("hi"));
    const { generator } = setUp([a]);
    const request = remoteRequest();
    generator.bind([request], decision({ class: "internal", pseudonymise: true, backends: ["a"] }));
    await expect(eventsOf(generator, request)).rejects.toMatchObject({ code: "private_data" });
    expect(a.asked).toEqual([]);
  });

  test("internal text that was not is not handed on as public", async () => {
    const a = backend("a", "cloud", answer("hi"));
    const { generator } = setUp([a]);
    const request = remoteRequest();
    generator.bind([request], decision({ class: "internal", backends: ["a"] }));
    await eventsOf(generator, request);
    expect(generator.classOf(a.asked[0] as GenerationRequest)).toBe("internal");
  });
});

test("an answer is remembered before its client has the whole of it", async () => {
  const { generator, remembered } = setUp([backend("a", "onprem", answer("her salary is 5,000"))]);
  const request = remoteRequest();
  generator.bind([request], decision({ class: "restricted", zone: "onprem", backends: ["a"] }));
  for await (const event of generator.generate(request, AbortSignal.timeout(1000)))
    expect(remembered).toHaveLength(event.kind === "finished" ? 1 : 0);
  expect(remembered).toHaveLength(1);
});

test("answers to personal and restricted requests are remembered, also where the client left; others are not", async () => {
  const { generator, remembered } = setUp([backend("a", "onprem", answer("her salary is 5,000"))]);
  const [secret, left, open] = [remoteRequest(), remoteRequest(), remoteRequest()];
  generator.bind([secret, left], decision({ class: "restricted", zone: "onprem", backends: ["a"] }));
  generator.bind([open], decision({ zone: "onprem", backends: ["a"] }));
  await eventsOf(generator, secret);
  await eventsOf(generator, open);
  expect(remembered).toEqual(["k1 restricted her salary is 5,000"]);
  for await (const event of generator.generate(left, AbortSignal.timeout(1000)))
    if (event.kind === "text") break;
  expect(remembered).toHaveLength(2);
});

describe("what the cloud's door refuses", () => {
  const refused = new WeirError("egress_refused", "a doubt");

  test("runs in the house where the router says so, by a decision of its own", async () => {
    const [a, house] = [backend("a", "cloud", refused), backend("house", "onprem", answer("hi"))];
    const inside = { ...decision({ zone: "onprem", backends: ["house"] }), receipt: "2-cd" };
    const { generator } = setUp([a, house], { atDoor: () => inside });
    const request = remoteRequest();
    generator.bind([request], decision({ backends: ["a"] }));
    expect(await eventsOf(generator, request)).toEqual(answer("hi"));
    expect(generator.outcome(request)).toMatchObject({ backend: "house", decision: { receipt: "2-cd" } });
    expect(a.asked).toHaveLength(1);
  });

  test("is refused to the client where it asked for that cloud, with the rule", async () => {
    const { generator } = setUp([backend("a", "cloud", refused)]);
    const request = remoteRequest();
    generator.bind([request], decision({ backends: ["a"] }));
    await expect(eventsOf(generator, request)).rejects.toMatchObject({
      code: "private_data",
      message: expect.stringContaining("egress.doubt"),
    });
    expect(generator.outcome(request)).toMatchObject({
      backend: undefined,
      decision: { route: { action: "refuse" } },
    });
  });

  test("keeps all choices of a request, before any of them leaves", async () => {
    const [a, house] = [backend("a", "cloud", answer("hi")), backend("house", "onprem", answer("hi"))];
    const inside = { ...decision({ zone: "onprem", backends: ["house"] }), receipt: "2-cd" };
    let asked = 0;
    const { generator } = setUp([a, house], {
      atDoor: () => inside,
      mayLeave: async () => {
        asked += 1;
        return false;
      },
    });
    const choices = [0, 1, 2].map((choice) => ({ ...remoteRequest(), choice }));
    generator.bind(choices, decision({ backends: ["a"] }));
    await Promise.all(choices.map((choice) => eventsOf(generator, choice)));
    expect([asked, a.asked.length, house.asked.length]).toEqual([1, 0, 3]);
    for (const choice of choices)
      expect(generator.outcome(choice)).toMatchObject({ decision: { receipt: "2-cd" } });
  });

  test("of one choice when others may be out there already fails the request: it is not said to have stayed", async () => {
    let calls = 0;
    const some: RoutedBackend = {
      name: "a",
      zone: "cloud",
      async *generate() {
        calls += 1;
        if (calls === 2) throw refused;
        yield* answer("hi");
      },
    };
    const { generator } = setUp([some as Fake]);
    const choices = [0, 1].map((choice) => ({ ...remoteRequest(), choice }));
    generator.bind(choices, decision({ backends: ["a"] }));
    const [first, second] = choices as [GenerationRequest, GenerationRequest];
    await eventsOf(generator, first);
    await expect(eventsOf(generator, second)).rejects.toMatchObject({ code: "egress_refused" });
    expect(generator.outcome(second)).toMatchObject({ decision: { route: { zone: "cloud" } } });
  });
});

test("arguments of a private answer's calls are remembered like its text", async () => {
  const calls: readonly GenerationEvent[] = [
    { kind: "started", promptTokens: 1 },
    { kind: "tool_call", index: 0, opening: { id: "c", name: "f" }, arguments: '{"a":' },
    { kind: "tool_call", index: 0, opening: undefined, arguments: "1}" },
    { kind: "finished", reason: "tool_calls", usage: USAGE },
  ];
  const { generator, remembered } = setUp([backend("a", "onprem", calls)]);
  const request = remoteRequest();
  generator.bind([request], decision({ class: "restricted", zone: "onprem", backends: ["a"] }));
  await eventsOf(generator, request);
  expect(remembered).toContain('k1 restricted {"a":1}');
});
