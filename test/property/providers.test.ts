/** Whatever a vendor sends, its reader says pieces or that this is not the vendor's shape, and repeats none of it in a problem. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { anthropic } from "../../engine/cloud/providers/anthropic.ts";
import { gemini } from "../../engine/cloud/providers/gemini.ts";
import { openAiCompatible } from "../../engine/cloud/providers/openai-compatible.ts";
import { ShapeError } from "../../engine/cloud/providers/parts.ts";
import type { Piece, Provider } from "../../engine/cloud/providers/provider.ts";
import { ERRORS } from "../../engine/core/errors.ts";
import { remoteRequest } from "../support/remote.ts";

const place = fc.constantFrom<number | undefined>(0, 1, 2, undefined);
const maybe = (text: string) => fc.constantFrom<string | undefined>(text, undefined);

/** Chunks that are nearly right: calls that begin twice, never, or without a number. */
const openAiCall = fc
  .record({ index: place, id: maybe("a"), name: maybe("f") })
  .map(({ index, id, name }) => ({
    choices: [{ delta: { tool_calls: [{ index, id, function: { name, arguments: "{" } }] } }],
  }));
const anthropicCall = fc
  .record({ index: place, begins: fc.boolean() })
  .map(({ index, begins }) =>
    begins
      ? { type: "content_block_start", index, content_block: { type: "tool_use", id: "a", name: "f" } }
      : { type: "content_block_delta", index, delta: { type: "input_json_delta", partial_json: "{" } },
  );
const geminiCall = fc.record({ id: maybe("a"), name: maybe("f") }).map((functionCall) => ({
  candidates: [{ content: { parts: [{ functionCall }] } }],
}));

const SUBJECTS: readonly (readonly [string, Provider, fc.Arbitrary<unknown>])[] = [
  [
    "OpenAI's dialect",
    openAiCompatible({
      ...{ auth: "bearer", query: "", maxTokensField: "max_tokens", completions: true, extras: true },
    }),
    openAiCall,
  ],
  ["Anthropic's", anthropic({ maxTokensDefault: 100 }), anthropicCall],
  ["Gemini's", gemini(), geminiCall],
];

/** The vendors' own names in wrong places and with wrong values find more than random words do. */
const NAMES = [
  ...[
    "choices",
    "delta",
    "content",
    "tool_calls",
    "index",
    "function",
    "arguments",
    "finish_reason",
    "usage",
  ],
  ...["type", "message", "content_block", "partial_json", "text", "stop_reason", "error", "code", "status"],
  ...["candidates", "parts", "functionCall", "args", "thought", "finishReason", "usageMetadata", "details"],
  ...["id", "name", "prompt_tokens", "input_tokens", "promptTokenCount", "promptFeedback", "blockReason"],
];
const WORDS = [
  ...[
    "message_start",
    "content_block_start",
    "content_block_delta",
    "message_delta",
    "message_stop",
    "error",
  ],
  ...["tool_use", "text_delta", "input_json_delta", "STOP", "stop", "constructor", "__proto__", "CANARY"],
];
/** A word of a fixed list, or a status: no number that a vendor could take from a request. */
const WORD = /^(?:status [2-5]\d{2}|[A-Za-z_]{3,40})$/;

const { value } = fc.letrec((tie) => ({
  leaf: fc.oneof(
    fc.constantFrom<unknown>(...WORDS, null, true, -1, 1e300, 0),
    fc.string({ maxLength: 6 }),
    fc.integer(),
  ),
  value: fc.oneof(
    { depthSize: "medium", withCrossShrink: true },
    tie("leaf"),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...NAMES), tie("value"), { maxKeys: 5, noNullPrototype: true }),
  ),
}));

/** In the middle of a stream. */
const failure = value.map((error) => ({ type: "error", error }));

const read = (provider: Provider, chunks: readonly unknown[]): readonly Piece[] | ShapeError => {
  const reader = provider.open(remoteRequest());
  try {
    return chunks.flatMap((chunk) => reader({ type: "message", data: JSON.stringify(chunk) ?? "" }));
  } catch (error) {
    if (error instanceof ShapeError) return error;
    throw error;
  }
};

describe.each(SUBJECTS)("the reader of %s", (_, provider, call) => {
  test("gives pieces or a ShapeError for any JSON, and calls in order, each begun once", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(value, call), { maxLength: 6 }),
        fc.array(failure, { maxLength: 1 }),
        (chunks, errors) => {
          const pieces = read(provider, [...chunks, ...errors]);
          if (pieces instanceof ShapeError) return;
          let begun = 0;
          for (const piece of pieces) {
            if (piece.kind === "problem") {
              expect(Object.keys(ERRORS)).toContain(piece.problem.code);
              expect(piece.problem.word).toMatch(WORD);
            }
            if (piece.kind !== "tool_call") continue;
            if (piece.opening === undefined) expect(piece.index).toBeLessThan(begun);
            else expect(piece.index).toBe(begun++);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });

  test("reads any error body as a known code, and keeps its text to itself", () => {
    const body = fc.oneof(
      value.map((each) => JSON.stringify(each) ?? ""),
      fc.string({ maxLength: 40 }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 201, max: 599 }), body, (status, text) => {
        const problem = provider.problem(status, text);
        expect(Object.keys(ERRORS)).toContain(problem.code);
        expect(problem.word).not.toContain("CANARY");
        expect(problem.word).toMatch(WORD);
        if (problem.retryAfterMs !== undefined) expect(problem.retryAfterMs).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 1000 },
    );
  });
});
