/**
 * Batch invariance from the outside: through the engine, the scheduler and a lane's thread, a request gives the same
 * bytes alone and among neighbours that join and leave, greedy and drawn, for every precision that ships.
 */
import { describe, expect, test } from "vitest";
import { tokenId } from "../../engine/core/brand.ts";
import type { GenerationEvent } from "../../engine/core/generator.ts";
import type { LaneLimits } from "../../engine/core/limits.ts";
import { uniform } from "../../engine/core/random.ts";
import type { GenerationRequest } from "../../engine/core/request.ts";
import type { RequestChanges } from "../support/requests.ts";
import { requestOf } from "../support/scripted-lane-engine.ts";
import { type TinyEngine, tinyModel } from "../support/served-lane.ts";

const LIMITS: LaneLimits = {
  rowsMax: 5,
  slotTokens: 160,
  stepTokensMax: 32,
  chunkTokensMax: 24,
  chunkTokensMin: 3,
  interTokenStretchMax: 2,
  waitingMax: 64,
  agingMs: 1_000,
  requestTimeoutMs: 600_000,
};
const ROUNDS = 2;
const NEIGHBOURS = 8;

const drawn = { temperature: 0.8, topP: 0.95, topK: 40, repetitionPenalty: 1.1 };
/**
 * What is asked alone and in company: greedy and drawn, prompts of one token, within a chunk, and of several chunks; and
 * one whose prompt is scored, so that every token of a chunk goes through the head.
 */
const SUBJECTS: readonly GenerationRequest[] = [
  ...[1, 17, 70].flatMap((length, index) =>
    [{ temperature: 0 }, { ...drawn, seed: 7 + index }].map((sampling) =>
      asked({ length, sampling, answer: 20 }),
    ),
  ),
  { ...asked({ length: 47, sampling: { temperature: 0 }, answer: 5 }), echo: true },
];

interface Asked {
  readonly length: number;
  readonly sampling: RequestChanges["sampling"];
  readonly answer: number;
  readonly salt?: number;
}

function asked({ length, sampling, answer, salt = 0 }: Asked): GenerationRequest {
  const tokens = Array.from({ length }, (_, i) => tokenId((length * 31 + i * 53 + salt * 17) % 500));
  return requestOf({
    prompt: { kind: "tokens", tokens },
    ...(sampling === undefined ? {} : { sampling }),
    maxTokens: answer,
    ignoreEos: true,
    logprobs: 2,
  });
}

const cases = [
  ...(["F32", "Q8_0", "Q4_0"] as const).flatMap((type) =>
    (["f32", "int8"] as const).map((kv) => ({ name: type, type, kv, quant: undefined, block: undefined })),
  ),
  ...(["q8", "q4"] as const).flatMap((quant) =>
    ([64, 128] as const).map((block) => ({
      ...{ name: `${quant} with blocks of ${block}`, quant, block },
      ...{ type: "F32" as const, kv: "f32" as const },
    })),
  ),
];

describe.each(cases)("$name, $kv cache", async ({ type, kv, quant, block }) => {
  const model = await tinyModel({ type, kv, quant, block });
  const { engine, lane, incidents } = await model.open(LIMITS);
  const told = (request: GenerationRequest) => tell(engine, request);

  test("a request gives the same bytes alone and among neighbours that come and go", async () => {
    const alone: unknown[] = [];
    for (const request of SUBJECTS) alone.push(await told(request));
    expect(new Set(alone.map((answer) => JSON.stringify(answer))).size).toBe(SUBJECTS.length);
    const before = lane.steps.length;

    for (let round = 1; round <= ROUNDS; round += 1) {
      const chance = (position: number): number => uniform(round, position);
      const neighbours = Array.from({ length: NEIGHBOURS }, (_, index) =>
        visit(
          engine.generate(
            asked({
              length: 1 + Math.floor(60 * chance(index)),
              sampling: { temperature: 1, seed: index },
              answer: 30,
              salt: 1 + index + 10 * round,
            }),
            new AbortController().signal,
          ),
          Math.floor(25 * chance(100 + index)),
        ),
      );
      const together = await Promise.all(SUBJECTS.map(told));
      await Promise.all(neighbours);
      expect(together, `round ${round}`).toEqual(alone);
    }

    const crowded = lane.steps.slice(before);
    expect(new Set(crowded.map(({ rows }) => rows)).size, "rows joined and left").toBeGreaterThan(3);
    expect(Math.max(...crowded.map(({ rows }) => rows))).toBe(LIMITS.rowsMax);
    expect(crowded.some(({ chunk }) => (chunk?.start ?? 0) > 0)).toBe(true);
    expect(crowded.some(({ rows, chunk }) => rows > 0 && chunk !== undefined)).toBe(true);
    expect(incidents).toEqual([]);
  });

  test("a request gives the same bytes whatever chunks its prompt comes in", async () => {
    const answers: unknown[] = [];
    for (const request of SUBJECTS) answers.push(await told(request));
    for (const chunkTokensMax of [1, 7]) {
      const other = await model.open({ ...LIMITS, chunkTokensMin: 1, chunkTokensMax });
      for (const [index, request] of SUBJECTS.entries()) {
        expect(await tell(other.engine, request), `chunks of ${chunkTokensMax}`).toEqual(answers[index]);
      }
      const longest = Math.max(...other.lane.steps.map(({ chunk }) => chunk?.tokens.length ?? 0));
      expect(longest).toBe(chunkTokensMax);
    }
  });
});

/** Tokens and log-probabilities to the last bit, and the text. */
async function tell(engine: TinyEngine["engine"], request: GenerationRequest): Promise<unknown> {
  const seen = { text: "", tokens: [] as number[], logprobs: [] as unknown[], reason: "" };
  for await (const event of engine.generate(request, new AbortController().signal)) {
    if (event.kind === "finished") seen.reason = event.reason;
    if (event.kind !== "text" && event.kind !== "prompt") continue;
    seen.text += event.text;
    seen.tokens.push(...event.tokens);
    seen.logprobs.push(...(event.logprobs ?? []));
  }
  return seen;
}

/** Reads so many events and leaves. */
async function visit(answer: AsyncIterable<GenerationEvent>, events: number): Promise<void> {
  let left = events;
  for await (const _ of answer) {
    left -= 1;
    if (left <= 0) return;
  }
}
