import { describe, expect, test } from "vitest";
import { retryAfterMs, retryDelayMs } from "../../../engine/cloud/retry.ts";
import { ERRORS, type ErrorCode, WeirError } from "../../../engine/core/errors.ts";

const options = { attemptsMax: 4, baseMs: 100, capMs: 250, retryAfterMaxMs: 5000 };
const failed = new WeirError("backend_failed", "down");
const asked = (ms: number) => new WeirError("overloaded", "busy", { retryAfterMs: ms });

describe("the pause before a retry", () => {
  test("is drawn from a span that doubles up to its cap", () => {
    expect([1, 2, 3].map((count) => retryDelayMs(count, failed, options, 0.5))).toEqual([50, 100, 125]);
    expect([1, 2, 3].map((count) => retryDelayMs(count, failed, options, 0))).toEqual([0, 0, 0]);
  });

  test("ends with the attempts", () => {
    expect(retryDelayMs(4, failed, options, 0.5)).toBeUndefined();
    expect(retryDelayMs(1, failed, { ...options, attemptsMax: 1 }, 0.5)).toBeUndefined();
  });

  test("is never shorter than the backend asked for, and spread behind that", () => {
    expect(retryDelayMs(1, asked(2000), options, 0)).toBe(2000);
    expect(retryDelayMs(1, asked(2000), options, 0.5)).toBe(2050);
  });

  test("is none where the backend asks for longer than it may", () => {
    expect(retryDelayMs(1, asked(5000), options, 0)).toBe(5000);
    expect(retryDelayMs(1, asked(5001), options, 0)).toBeUndefined();
  });

  test("is only for failures of the backend that may pass", () => {
    const codes = Object.keys(ERRORS) as ErrorCode[];
    const again = codes.filter((code) => retryDelayMs(1, new WeirError(code, "x"), options, 0) !== undefined);
    expect(again.sort()).toEqual(["backend_failed", "overloaded"]);
  });
});

describe("what an answer's headers ask for", () => {
  const wall = Date.parse("Wed, 21 Oct 2026 07:28:00 GMT");

  test.each([
    [{ "retry-after-ms": "1500" }, 1500],
    [{ "retry-after-ms": "1500", "retry-after": "9" }, 1500],
    [{ "retry-after": "2" }, 2000],
    [{ "retry-after": "0.5" }, 500],
    [{ "retry-after": "Wed, 21 Oct 2026 07:28:30 GMT" }, 30_000],
    [{ "retry-after": "Wed, 21 Oct 2026 07:27:00 GMT" }, 0],
    [{ "retry-after-ms": "soon", "retry-after": "3" }, 3000],
  ])("%j is %i ms", (headers, ms) => expect(retryAfterMs(headers, wall)).toBe(ms));

  test.each([
    {},
    { "retry-after": "" },
    { "retry-after": "-1" },
    { "retry-after": "later" },
    { "retry-after": "9".repeat(400) },
  ])("%j is nothing", (headers) => expect(retryAfterMs(headers, wall)).toBeUndefined());
});
