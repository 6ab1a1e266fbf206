import { describe, expect, test } from "vitest";
import { createFallback } from "../../../engine/cloud/fallback.ts";
import type { ZonedGenerator } from "../../../engine/cloud/zoned.ts";
import { ERRORS, type ErrorCode, WeirError } from "../../../engine/core/errors.ts";
import type { GenerationEvent } from "../../../engine/core/generator.ts";
import type { Zone } from "../../../engine/core/policy.ts";
import { answer } from "../../support/answers.ts";
import { eventsOf, remoteRequest } from "../../support/remote.ts";

interface Scripted<Z extends Zone> extends ZonedGenerator<Z> {
  asked: number;
}

/** Gives these events, and then throws this code. */
function scripted<Z extends Zone>(
  zone: Z,
  name: string,
  events: readonly GenerationEvent[],
  code?: ErrorCode,
): Scripted<Z> {
  const self: Scripted<Z> = {
    zone,
    name,
    asked: 0,
    async *generate() {
      self.asked += 1;
      yield* events;
      if (code !== undefined) throw new WeirError(code, name);
    },
  };
  return self;
}

describe("a list of backends of one zone", () => {
  test("asks the first, and no other while it answers", async () => {
    const list = [scripted("onprem", "a", answer("a")), scripted("onprem", "b", answer("b"))];
    expect(await eventsOf(createFallback("onprem", list), remoteRequest())).toEqual(answer("a"));
    expect(list.map(({ asked }) => asked)).toEqual([1, 0]);
  });

  test("goes on to the next only for what another backend may do better", async () => {
    const passing: string[] = [];
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      const list = [scripted("cloud", "a", [], code), scripted("cloud", "b", answer("b"))];
      await eventsOf(createFallback("cloud", list), remoteRequest()).catch(() => undefined);
      if (list[1]?.asked === 1) passing.push(code);
    }
    expect(passing.sort()).toEqual([
      ...["backend_failed", "backend_refused", "backend_unavailable", "draining"],
      ...["model_load_failed", "model_not_found", "not_ready", "overloaded"],
    ]);
  });

  test("stays with a backend that has begun", async () => {
    const begun = answer("a").slice(0, 1);
    const list = [scripted("cloud", "a", begun, "backend_failed"), scripted("cloud", "b", answer("b"))];
    const asking = eventsOf(createFallback("cloud", list), remoteRequest());
    await expect(asking).rejects.toMatchObject({ message: "a" });
    expect(list[1]?.asked).toBe(0);
  });

  test("gives the last one's error where all fail", async () => {
    const list = [scripted("cloud", "a", [], "overloaded"), scripted("cloud", "b", [], "backend_failed")];
    const asking = eventsOf(createFallback("cloud", list), remoteRequest());
    await expect(asking).rejects.toMatchObject({ message: "b", code: "backend_failed" });
  });

  test("asks nobody else once the client has left", async () => {
    const stop = new AbortController();
    const leaving: ZonedGenerator<"cloud"> = {
      zone: "cloud",
      name: "a",
      // biome-ignore lint/correctness/useYield: it fails before its first event
      async *generate() {
        stop.abort();
        throw new WeirError("backend_failed", "a");
      },
    };
    const other = scripted("cloud", "b", answer("b"));
    const asking = eventsOf(createFallback("cloud", [leaving, other]), remoteRequest(), stop.signal);
    await expect(asking).rejects.toMatchObject({ message: "a" });
    expect(other.asked).toBe(0);
  });

  test("cannot be made across zones: a type error, and an assertion where the types are got around", () => {
    const inside = scripted("onprem", "inside", answer("a"));
    const outside = scripted("cloud", "outside", answer("b"));
    // @ts-expect-error: a cloud backend in a list of on-prem ones
    expect(() => createFallback("onprem", [inside, outside])).toThrow(/holds outside, which is in cloud/);
    // @ts-expect-error: and the other way round
    expect(() => createFallback("cloud", [outside, inside])).toThrow(/holds inside/);
    expect(() => createFallback("cloud", [])).toThrow(/needs a backend/);
  });
});
