import { expect, test } from "vitest";
import { leastTime, slowText, usualTime } from "../support/slow-texts.ts";

const LIMIT_MS = 50;

test("no text that is made to be slow takes over 50 ms", () => {
  for (let seed = 0; seed < 300; seed += 1) {
    expect(leastTime(slowText(seed, 4096), 4, LIMIT_MS), `seed ${seed}`).toBeLessThanOrEqual(LIMIT_MS);
  }
});

test("eight times the text takes no more than a small multiple of eight times the time", () => {
  for (let seed = 0; seed < 40; seed += 1) {
    const short = usualTime(slowText(seed, 4096), 16);
    const long = usualTime(slowText(seed, 8 * 4096), 2);
    expect(long, `seed ${seed}`).toBeLessThanOrEqual(Math.max(20, 8 * 3 * short));
  }
});
