/** What must hold of the classification of any request. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { atLeast, DATA_CLASSES } from "../../engine/core/data-class.ts";
import { classify } from "../../engine/routing/classify.ts";
import { isTextless } from "../../engine/routing/pointer.ts";
import { WALK_BOUNDS, walkRequest } from "../../engine/routing/walk.ts";
import { DISGUISES, PRIVATE_VALUES } from "../support/disguises.ts";

const calm = { topics: { votes: () => [{ topic: "public" as const, score: 1, where: "" }] } };
const classOf = (body: unknown) => classify(body, calm).class;
const messages = (...contents: readonly string[]) => ({
  messages: contents.map((content) => ({ role: "user", content })),
});

/** Texts that come near to what recognisers look for: words, numbers, codes, whole private values. */
const text = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: fc.string({ unit: "grapheme", maxLength: 20 }) },
      {
        weight: 3,
        arbitrary: fc.constantFrom(
          "my",
          "salary",
          "phone",
          "身份证",
          "passport",
          "at",
          "dot",
          "%31",
          "&#49;",
          "\\u0031",
          "=",
          "\n",
        ),
      },
      { weight: 3, arbitrary: fc.stringMatching(/^[0-9 .()+-]{1,20}$/) },
      { weight: 1, arbitrary: fc.constantFrom(...PRIVATE_VALUES.map(({ value }) => value)) },
      {
        weight: 1,
        arbitrary: fc
          .tuple(fc.constantFrom(...PRIVATE_VALUES), fc.constantFrom(...DISGUISES))
          .map(([{ value }, { apply }]) => apply(value)),
      },
    ),
    { maxLength: 8 },
  )
  .map((pieces) => pieces.join(" "));

test("it never throws, and answers with a class, whatever it is given", () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.anything(), fc.jsonValue(), fc.record({ messages: fc.anything(), prompt: fc.anything() })),
      (body) => {
        const { class: value, confidence, evidence } = classify(body, calm);
        expect(DATA_CLASSES).toContain(value);
        expect(confidence >= 0 && confidence <= 1).toBe(true);
        for (const vote of evidence) {
          expect(Object.keys(vote).sort()).toEqual(["class", "rule", "where"]);
          expect(isTextless(vote.where)).toBe(true);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test("it never falls when a line or a message is added", () => {
  fc.assert(
    fc.property(text, text, text, (before, content, after) => {
      const alone = classOf(messages(content));
      expect(atLeast(classOf(messages(before, content, after)), alone)).toBe(true);
      expect(atLeast(classOf(messages(`${before}\n\n${content}\n\n${after}`)), alone)).toBe(true);
      expect(atLeast(classOf({ ...messages(content), metadata: { note: after } }), alone)).toBe(true);
    }),
    { numRuns: 250 },
  );
});

test("evidence holds no text of the request", () => {
  fc.assert(
    fc.property(fc.constantFrom(...PRIVATE_VALUES), ({ en, value }) => {
      const { evidence } = classify(messages(en.replace("{}", () => value)), calm);
      expect(evidence.length).toBeGreaterThan(0);
      expect(JSON.stringify(evidence)).not.toContain(value);
    }),
  );
});

/** A JSON value with the canary somewhere in it: as a text, in a text, in the name of a field, in JSON in a string. */
const CANARY = "13800138000";
const hidden: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom<unknown>(
      CANARY,
      `tel ${CANARY}.`,
      Number(CANARY),
      { [CANARY]: null },
      { [CANARY]: {} },
      { [CANARY]: [true] },
    ),
    fc
      .tuple(fc.string(), tie("value"), fc.jsonValue())
      .map(([name, value, other]) => ({ other, [name]: value })),
    fc.tuple(tie("value"), fc.jsonValue()).map(([value, other]) => [other, value]),
    tie("value").map((value) => JSON.stringify(value)),
  ),
})).value;

test("walking finds a canary wherever it hides, and says where", () => {
  const field = fc.constantFrom(
    "metadata",
    "user",
    "tools",
    "functions",
    "response_format",
    "stop",
    "suffix",
    "unknown",
    "tool_choice",
  );
  fc.assert(
    fc.property(field, hidden, (name, value) => {
      const body = { prompt: "hm", [name]: value };
      const { parts, doubts } = walkRequest(body, WALK_BOUNDS);
      const places = parts.filter((part) => part.text.includes(CANARY) || part.label?.includes(CANARY));
      expect(places.length + doubts.length).toBeGreaterThan(0);
      const start = name === "unknown" ? "" : `/${name}`;
      for (const { where } of places) expect(where.startsWith(start)).toBe(true);
      expect(classOf(body)).not.toBe("public");
    }),
    { numRuns: 300 },
  );
});

test("evidence has no name in it that a client gives, nor a number that it gives for one", () => {
  fc.assert(
    fc.property(hidden, hidden, hidden, fc.constantFrom("role", "content", "tool_calls"), (a, b, c, name) => {
      const message = { role: "user", content: "hm", [name]: a };
      const body = {
        messages: [message, b],
        metadata: c,
        [CANARY]: a,
        tools: [b],
        model: c,
        n: { [CANARY]: b },
      };
      const { evidence } = classify(body, calm);
      expect(evidence.length).toBeGreaterThan(0);
      for (const { where } of evidence) expect(isTextless(where), where).toBe(true);
      expect(JSON.stringify(evidence)).not.toContain(CANARY);
    }),
    { numRuns: 100 },
  );
});

test("a canary in the arguments of a tool call is found", () => {
  fc.assert(
    fc.property(hidden, (value) => {
      const tool_calls = [
        { id: "1", type: "function", function: { name: "f", arguments: JSON.stringify({ value }) } },
      ];
      expect(classOf({ messages: [{ role: "assistant", content: null, tool_calls }] })).not.toBe("public");
    }),
    { numRuns: 200 },
  );
});
