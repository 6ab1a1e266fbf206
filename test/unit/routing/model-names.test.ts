/** What clients may send as `model`, and which backend they get. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Names, resolveModel } from "../../../engine/routing/model-names.ts";

const names: Names = {
  aliases: {
    fast: "small",
    clever: "azure/gpt-4.1",
    house: "local/org/big",
    chosen: "auto",
    loop: "fast",
    gone: "x",
  },
  isInstalled: (model) => ["small", "org/big", "azure/shadow"].includes(model),
  backends: [
    { name: "azure", models: ["gpt-4.1", "shadow"], autoModel: "gpt-4.1" },
    { name: "vllm", models: ["org/model"], autoModel: "org/model" },
  ],
};
const resolve = (asked: string | undefined) => resolveModel(asked, names);

test.each([
  [undefined, { kind: "auto" }],
  ["auto", { kind: "auto" }],
  ["chosen", { kind: "auto" }],
  ["small", { backend: "local", model: "small" }],
  ["local/small", { backend: "local", model: "small" }],
  ["org/big", { backend: "local", model: "org/big" }],
  ["local/org/big", { backend: "local", model: "org/big" }],
  ["azure/gpt-4.1", { backend: "azure", model: "gpt-4.1" }],
  ["vllm/org/model", { backend: "vllm", model: "org/model" }],
  ["fast", { backend: "local", model: "small" }],
  ["clever", { backend: "azure", model: "gpt-4.1" }],
  ["house", { backend: "local", model: "org/big" }],
  // The name of an installed model is never another server's.
  ["azure/shadow", { backend: "local", model: "azure/shadow" }],
] as const)("%s means %o", (asked, expected) => {
  expect(resolve(asked)).toMatchObject(expected);
});

test.each([
  "",
  "gpt-4.1",
  "azure/",
  "azure/other",
  "local/",
  "local/gpt-4.1",
  "/small",
  "loop",
  "gone",
  "constructor",
  "AUTO",
])("%j leads nowhere", (asked) => {
  expect(resolve(asked)).toEqual({ kind: "unknown" });
});

test("rules may list a model under any of its names, and under the alias that was sent", () => {
  expect(resolve("fast")).toMatchObject({ names: ["small", "fast", "local/small"] });
  expect(resolve("clever")).toMatchObject({ names: expect.arrayContaining(["azure/gpt-4.1", "clever"]) });
  expect(resolve("clever")).not.toMatchObject({ names: expect.arrayContaining(["local/gpt-4.1"]) });
});

test("whatever is sent, a backend is only named with a model of its own list", () => {
  const word = fc.constantFrom(
    "azure",
    "vllm",
    "local",
    "auto",
    "gpt-4.1",
    "org",
    "model",
    "small",
    "fast",
    "",
    "x",
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 4 }), (words) => {
      const wanted = resolve(words.join("/"));
      if (wanted.kind !== "named") return;
      const backend = names.backends.find(({ name }) => name === wanted.backend);
      expect(
        backend === undefined ? names.isInstalled(wanted.model) : backend.models.includes(wanted.model),
      ).toBe(true);
      expect(wanted.backend === "local" || backend !== undefined).toBe(true);
    }),
  );
});
