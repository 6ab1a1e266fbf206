import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AnswerLimit } from "../../../engine/cloud/answer-limit.ts";

const clock = { now: () => performance.now(), wall: () => Date.now() };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("ends when the backend has taken its time, and says who has", () => {
  using limit = new AnswerLimit(clock, 100);
  vi.advanceTimersByTime(99);
  expect([limit.signal.aborted, limit.over]).toEqual([false, undefined]);
  vi.advanceTimersByTime(1);
  expect([limit.signal.aborted, limit.over]).toEqual([true, "backend"]);
});

test("does not count the reader's time as the backend's, or the other way round", () => {
  using limit = new AnswerLimit(clock, 100);
  for (let part = 0; part < 3; part += 1) {
    vi.advanceTimersByTime(30);
    limit.waitFor("reader");
    vi.advanceTimersByTime(30);
    limit.waitFor("backend");
  }
  expect(limit.over).toBeUndefined();
  vi.advanceTimersByTime(9);
  expect(limit.over).toBeUndefined();
  vi.advanceTimersByTime(1);
  expect(limit.over).toBe("backend");
});

test("ends when the reader has taken as long", () => {
  using limit = new AnswerLimit(clock, 100);
  vi.advanceTimersByTime(90);
  limit.waitFor("reader");
  vi.advanceTimersByTime(99);
  expect(limit.over).toBeUndefined();
  vi.advanceTimersByTime(1);
  expect([limit.signal.aborted, limit.over]).toEqual([true, "reader"]);
});

test("is not late where the one with the least time left comes back behind the other", () => {
  using limit = new AnswerLimit(clock, 100);
  vi.advanceTimersByTime(90);
  limit.waitFor("reader");
  // Here the timer looks for the first time, and sees 80 ms left for the reader.
  vi.advanceTimersByTime(20);
  limit.waitFor("backend");
  vi.advanceTimersByTime(10);
  expect(limit.over).toBe("backend");
});

test("leaves no timer behind", () => {
  {
    using limit = new AnswerLimit(clock, 100);
    limit.waitFor("reader");
  }
  expect(vi.getTimerCount()).toBe(0);
});
