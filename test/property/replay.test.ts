/** Replaying says exactly where two policies part, and says nothing of what was down when a decision was made. */
import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { DATA_CLASSES } from "../../engine/core/data-class.ts";
import type { Wanted } from "../../engine/core/route.ts";
import { FIRST_PREV, sealed } from "../../engine/receipts/record.ts";
import { decideRoute, type RouteFacts } from "../../engine/routing/decide.ts";
import { Replay } from "../../server/cli/replay.ts";
import { type LoadedPolicy, parsePolicy } from "../../server/policy/policy-file.ts";
import { decisionWith } from "../support/decisions.ts";

const { privateKey } = generateKeyPairSync("ed25519");
const backends = [
  { name: "openai", zone: "cloud", up: true, autoNames: ["openai/large"] },
  { name: "local", zone: "onprem", up: true, autoNames: ["small", "local/small"] },
] as const;
const aliases = { best: "openai/large" };

const dataClass = fc.constantFrom(...DATA_CLASSES);
const rule = fc.record({
  class_floor: fc.constantFrom("public", "internal", "restricted"),
  zone: fc.constantFrom("onprem", undefined),
  models: fc.constantFrom([], ["auto"], ["best"], ["small"]),
});
const policy = fc
  .record({
    version: fc.constant(1),
    explicit_cloud: fc.constantFrom("refuse", "reroute"),
    classes: fc.constantFrom(
      {},
      { public: { zone: "cloud" } },
      { public: { zone: "cloud", backends: ["other"] } },
      { public: { zone: "cloud" }, internal: { zone: "cloud" } },
    ),
    keys: fc.dictionary(fc.constantFrom("shop", "hr"), rule),
    agents: fc.dictionary(fc.constantFrom("writer"), rule),
  })
  .map((file): LoadedPolicy["policy"] => parsePolicy(JSON.stringify(file), "p").policy);
const wanted: fc.Arbitrary<Wanted> = fc.constantFrom<Wanted>(
  { kind: "auto" },
  { kind: "unknown" },
  { kind: "named", backend: "openai", model: "large", names: ["openai/large", "best"] },
  { kind: "named", backend: "local", model: "small", names: ["small", "local/small"] },
);
const facts: fc.Arbitrary<Omit<RouteFacts, "backends">> = fc.record({
  class: dataClass,
  pinned: fc.option(fc.constantFrom("personal", "restricted"), { nil: undefined }),
  keyPolicy: fc.option(fc.constantFrom("shop", "hr", "forgotten"), { nil: undefined }),
  keyModels: fc.constant([]),
  agent: fc.option(fc.constantFrom("writer", "(unknown)"), { nil: undefined }),
  wanted,
});

test("a decision is told as changed exactly where the two policies decide differently", () => {
  let changed = 0;
  fc.assert(
    fc.property(policy, policy, facts, fc.boolean(), fc.boolean(), (base, next, known, cloudUp, houseUp) => {
      const then = backends.map((each) => ({ ...each, up: each.zone === "cloud" ? cloudUp : houseUp }));
      const was = decideRoute({ ...known, backends: then }, base);
      const { wanted: asked } = known;
      const decision = decisionWith({
        ...{ class: was.class, zone: was.zone, action: was.action },
        content: known.class,
        pinned: known.pinned ?? null,
        key: known.keyPolicy ?? null,
        agent: known.agent ?? null,
        wanted: asked.kind === "named" ? { model: asked.model, backend: asked.backend } : asked.kind,
        policy: base.hash,
      });
      const place = { v: 1, seq: 1, at: "", prev: FIRST_PREV } as const;
      const receipt = sealed({ ...place, kind: "decision", decision }, privateKey);

      const replay = new Replay({ policy: next, base, backends, aliases });
      const told = replay.add(receipt);
      const [before, after] = [base, next].map((each) => {
        const { class: value, zone, action } = decideRoute({ ...known, backends }, each);
        return { class: value, zone, action };
      });
      if (JSON.stringify(before) === JSON.stringify(after)) expect(told).toBeUndefined();
      else expect(told).toEqual({ receipt: expect.stringMatching(/^1-/), was: before, becomes: after });
      expect(replay.result()).toMatchObject({ decisions: 1, untold: 0, changed: told === undefined ? 0 : 1 });
      changed += told === undefined ? 0 : 1;
    }),
    { numRuns: 500 },
  );
  expect(changed).toBeGreaterThan(50);
});
