/** What must hold of placeholders in any request, and of any answer to it, however it is cut. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { GenerationEvent } from "../../engine/core/generator.ts";
import type { ChatMessage, GenerationRequest } from "../../engine/core/request.ts";
import {
  everyPlaceholder,
  PLACEHOLDERS_MAX,
  placeholderOf,
} from "../../engine/routing/pseudonyms/placeholders.ts";
import { restorer } from "../../engine/routing/pseudonyms/restore.ts";
import { ValueFinder } from "../../engine/routing/pseudonyms/value-finder.ts";
import { pseudonymise } from "../../engine/routing/pseudonyms.ts";
import { RECOGNISERS, scanOf } from "../../engine/routing/recognisers/index.ts";
import { PRIVATE_VALUES } from "../support/disguises.ts";
import { answerOf, callsOf, events, requestOf, textsOf } from "../support/pseudonyms.ts";

/** Every recogniser finds these by themselves, wherever they stand. */
const INTERNAL = ["support@firma.cn", "Info@firma.cn", "192.168.1.17", "10.20.30.40", "91350100M000100Y43"];
const LOOKALIKES = ["[INBOX-BL]", "\\[host-cn\\]", "[ID", "[", "\\", "]", "【", "[INBOX-", "BL]", "-"];

/** Prose with values, values without their context, near-values, brackets and placeholders that somebody wrote. */
const text = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: fc.string({ unit: "grapheme", maxLength: 12 }) },
      { weight: 3, arbitrary: fc.constantFrom(...INTERNAL) },
      { weight: 2, arbitrary: fc.constantFrom(...LOOKALIKES) },
      {
        weight: 2,
        arbitrary: fc
          .constantFrom(...PRIVATE_VALUES)
          .chain(({ value, en, zh }) =>
            fc.constantFrom(value, en.replace("{}", value), zh.replace("{}", value)),
          ),
      },
      { weight: 1, arbitrary: fc.constantFrom("\ud83d", '"', "\n", "password: ", "phone ", "my ") },
    ),
    { maxLength: 8 },
  )
  .chain((parts) => fc.constantFrom(" ", ", ", "").map((mark) => parts.join(mark)));

const json = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    text,
    fc.integer({ min: 0, max: 99 }),
    fc.constantFrom(true, null),
    fc.dictionary(fc.oneof(fc.constantFrom("to", "employee_id", "__proto__"), text), tie("value"), {
      maxKeys: 3,
    }),
    fc.array(tie("value"), { maxLength: 3 }),
    tie("value").map((value) => JSON.stringify(value)),
  ),
})).value;

const message: fc.Arbitrary<ChatMessage> = fc.oneof(
  fc.record({ role: fc.constantFrom<ChatMessage["role"]>("system", "user", "assistant"), content: text }),
  json.map((value) => ({
    role: "assistant" as const,
    content: "",
    toolCalls: [{ id: "call_1", name: "send", arguments: JSON.stringify({ value }) }],
  })),
);
const request = fc.array(message, { maxLength: 4 }).map((messages) => requestOf({ kind: "chat", messages }));
const cuts = fc.array(fc.nat(), { maxLength: 12 });

function cutText(all: string, at: readonly number[]): string[] {
  const places = [0, ...at.map((cut) => cut % (all.length + 1)).sort((a, b) => a - b), all.length];
  return places.slice(1).map((to, i) => all.slice(places[i], to));
}

const argumentsOf = ({ prompt }: GenerationRequest): readonly string[] =>
  prompt.kind === "chat"
    ? prompt.messages.flatMap(({ toolCalls = [] }) => toolCalls.map((call) => call.arguments))
    : [];

/** What recognisers find in a text alone, where they do not disagree on it; without what JSON escapes. */
function valuesIn(all: string): readonly string[] {
  const scan = scanOf(all);
  const spans = RECOGNISERS.flatMap(({ find }) => [...find(scan)]);
  const agreed = spans.filter(({ start, end }) =>
    spans.every(
      (other) => other.end <= start || other.start >= end || (other.start === start && other.end === end),
    ),
  );
  return agreed
    .flatMap(({ start, end }) => all.slice(start, end).split(/["\\]|\p{Cc}|\p{Surrogate}/u))
    .filter((value) => /[\p{L}\p{N}]/u.test(value));
}

/** Of texts whose values stand close together some read differently without them, and stay in the house. */
const UNDONE_SHARE_MAX = 0.1;

test("an answer that repeats a request has its texts back, however it is cut", async () => {
  let undone = 0;
  const runs = 500;
  await fc.assert(
    fc.asyncProperty(request, cuts, fc.boolean(), async (given, at, byCharacter) => {
      const done = pseudonymise(given);
      if (done === undefined) {
        undone += 1;
        return;
      }
      const cut = (all: string): string[] => (byCharacter ? all.split("") : cutText(all, at));
      const texts = textsOf(done.request);
      for (const [index, original] of textsOf(given).entries()) {
        expect(await answerOf(done.restore, cut(texts[index] as string))).toBe(original);
      }
      const sent = argumentsOf(done.request).flatMap((each, index) =>
        ["", ...cut(each)].map((part, i): GenerationEvent => {
          const opening = i === 0 ? { id: `c${index}`, name: "send" } : undefined;
          return { kind: "tool_call", index, opening, arguments: part };
        }),
      );
      const calls = await callsOf(done.restore(events(sent)));
      expect(calls.map((call) => JSON.parse(call.arguments))).toEqual(
        argumentsOf(given).map((each) => JSON.parse(each)),
      );
    }),
    { numRuns: runs },
  );
  expect(undone / runs).toBeLessThan(UNDONE_SHARE_MAX);
});

test("no value that recognisers find leaves, and what leaves is not changed by doing it again", () => {
  fc.assert(
    fc.property(request, (given) => {
      const done = pseudonymise(given);
      if (done === undefined) return;
      const sent = [...textsOf(done.request), ...argumentsOf(done.request)];
      for (const value of textsOf(given).flatMap(valuesIn)) {
        for (const each of sent) expect(each).not.toContain(value);
      }
      expect(pseudonymise(done.request)?.request).toBe(done.request);
    }),
    { numRuns: 500 },
  );
});

test("each value has one placeholder, and each placeholder one value", async () => {
  await fc.assert(
    fc.asyncProperty(request, async (given) => {
      const done = pseudonymise(given);
      if (done === undefined) return;
      const before = JSON.stringify(given.prompt);
      const values = new Set<string>();
      const placeholders = new Set(JSON.stringify(done.request.prompt).match(/\[[A-Z]{2,6}-[A-Z]{2}\]/g));
      for (const placeholder of placeholders) {
        const value = await answerOf(done.restore, [placeholder]);
        if (value === placeholder) {
          // Somebody's own.
          expect(before).toContain(placeholder);
          continue;
        }
        expect(values).not.toContain(value);
        values.add(value);
        expect(before).toContain(value);
        // It fits prose and JSON alike.
        expect(JSON.stringify(value)).toBe(`"${value}"`);
        expect(JSON.stringify(done.request.prompt)).not.toContain(`"${value}"`);
      }
    }),
    { numRuns: 300 },
  );
});

test("nothing waits but what can still become a placeholder", async () => {
  const placeholder = fc.constantFrom(...everyPlaceholder());
  const piece = fc.oneof(
    fc.constantFrom("[", "]", "\\", "\\\\", "[i", " ", "-", "a", "é", "【", "[INBOX-", "[HOST - ", "[KEY_x"),
    placeholder.chain((each) => fc.nat({ max: each.length - 1 }).map((length) => each.slice(0, length))),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(placeholder, { minLength: 1, maxLength: 4 }),
      fc.array(piece, { maxLength: 12 }),
      async (given, parts) => {
        const values = new Map(given.map((each, index) => [each, `value ${index}`]));
        const restore = restorer(values);
        // Becomes one by some rest of some placeholder, with its bracket escaped or not.
        const mayBecome = async (held: string): Promise<boolean> => {
          for (const each of values.keys()) {
            for (let from = 0; from < each.length; from += 1) {
              for (const slashes of ["", "\\", "\\\\"]) {
                const whole = `${held}${each.slice(from, -1)}${slashes}]`;
                if ((await answerOf(restore, [whole])).startsWith("value ")) return true;
              }
            }
          }
          return false;
        };
        const seen: string[] = [];
        async function* sending(): AsyncGenerator<GenerationEvent> {
          for (const part of parts) {
            seen.push(part);
            yield { kind: "text", text: part, tokens: [], logprobs: [] };
            const held = seen.join("").slice(told.length);
            if (held !== "") expect(await mayBecome(held), `${held} waits`).toBe(true);
          }
        }
        let told = "";
        for await (const event of restore(sending())) if (event.kind === "text") told += event.text;
        // No whole placeholder stands in it, so nothing is changed.
        if (![...values.values()].some((value) => told.includes(value))) expect(told).toBe(parts.join(""));
      },
    ),
    { numRuns: 300 },
  );
});

test("values are found as by a naive search: the first of those that overlap, and of those the longest", () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 30 });
  const some = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 5 }));
  fc.assert(
    fc.property(letters, some, (all, values) => {
      const naive: { start: number; end: number }[] = [];
      for (let start = 0; start < all.length; ) {
        const length = Math.max(0, ...values.filter((v) => all.startsWith(v, start)).map((v) => v.length));
        if (length > 0) naive.push({ start, end: start + length });
        start += Math.max(1, length);
      }
      expect([...new ValueFinder(values).find(all)]).toEqual(naive);
    }),
    { numRuns: 2000 },
  );
});

test("neighbours differ in both letters", () => {
  for (let index = 0; index < PLACEHOLDERS_MAX - 1; index += 1) {
    const [first, second] = [placeholderOf("id.x", index), placeholderOf("id.x", index + 1)];
    expect(first.at(-3)).not.toBe(second.at(-3));
    expect(first.at(-2)).not.toBe(second.at(-2));
  }
});
