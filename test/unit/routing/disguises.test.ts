/** The adversarial battery: private values, disguised once and twice, in sentences of two languages, in three places. */
import { expect, test } from "vitest";
import { uniform } from "../../../engine/core/random.ts";
import { classify } from "../../../engine/routing/classify.ts";
import {
  CARRIERS,
  DISGUISES,
  type Disguise,
  PRIVATE_VALUES,
  type PrivateValue,
} from "../../support/disguises.ts";

const topics = { votes: () => [{ topic: "public" as const, score: 1, where: "" }] };

const isFound = (carrier: string, sentence: string, value: string): boolean => {
  const body = CARRIERS[carrier]?.(
    sentence.replace("{}", () => value),
    value,
  );
  return classify(body, { topics }).class !== "public";
};

class Tally {
  readonly missed: string[] = [];
  cases = 0;

  count(found: boolean, name: string): void {
    this.cases += 1;
    if (!found) this.missed.push(name);
  }

  get rate(): number {
    return 1 - this.missed.length / this.cases;
  }

  report(what: string): void {
    const percent = (100 * this.rate).toFixed(2);
    console.log(`${what}: ${this.cases - this.missed.length} of ${this.cases} found, ${percent} %`);
    for (const name of this.missed.slice(0, SHOWN)) console.log(`  missed: ${name}`);
  }
}

/** As many misses are shown. */
const SHOWN = 12;

type Language = "en" | "zh";

function trial(
  tally: Tally,
  row: PrivateValue,
  disguises: readonly Disguise[],
  languages: readonly Language[],
): void {
  const { kind, value } = row;
  let disguised = value;
  for (const { apply } of disguises) {
    const next = apply(disguised);
    if (next === disguised) return;
    disguised = next;
  }
  const names = disguises.map(({ name }) => name).join(", then ");
  for (const carrier of Object.keys(CARRIERS)) {
    for (const language of languages) {
      tally.count(
        isFound(carrier, row[language], disguised),
        `${kind} (${language}) in ${carrier}, ${names}`,
      );
    }
  }
}

test("plain values are found everywhere", () => {
  const tally = new Tally();
  for (const value of PRIVATE_VALUES) {
    for (const carrier of Object.keys(CARRIERS)) {
      for (const sentence of [value.en, value.zh]) {
        tally.count(isFound(carrier, sentence, value.value), `${value.kind} in ${carrier}: ${sentence}`);
      }
    }
  }
  expect(tally.missed).toEqual([]);
});

test("sentences without their value are public", () => {
  for (const { en, zh } of PRIVATE_VALUES) {
    for (const sentence of [en, zh]) {
      expect(isFound("a message", sentence, "it"), sentence).toBe(false);
    }
  }
});

test("of values disguised once, 99 % are found", () => {
  expect(PRIVATE_VALUES.length).toBeGreaterThanOrEqual(30);
  expect(DISGUISES.length).toBeGreaterThanOrEqual(20);
  const tally = new Tally();
  for (const value of PRIVATE_VALUES)
    for (const disguise of DISGUISES) trial(tally, value, [disguise], ["en", "zh"]);
  tally.report("disguised once");
  expect(tally.rate).toBeGreaterThanOrEqual(0.99);
});

test("of values disguised twice, 95 % are found", () => {
  const tally = new Tally();
  for (const [i, first] of DISGUISES.entries()) {
    for (const [j, second] of DISGUISES.entries()) {
      if (i === j) continue;
      const pick = Math.floor(uniform(11, i * DISGUISES.length + j) * PRIVATE_VALUES.length);
      trial(tally, PRIVATE_VALUES[pick] as PrivateValue, [first, second], [(i + j) % 2 === 0 ? "en" : "zh"]);
    }
  }
  tally.report("disguised twice");
  expect(tally.rate).toBeGreaterThanOrEqual(0.95);
});
