/** The training of the topic model: templates, sets and bounds; the same examples give the same bytes. */
import { describe, expect, test } from "vitest";
import { writeTopicModel } from "../../../engine/routing/topic-model.ts";
import { clopperPearson } from "../../../scripts/topics/bounds.ts";
import { type Example, FIT, fitTopicModel } from "../../../scripts/topics/fit.ts";
import { dataFolder, HELD_OUT, loadSets } from "../../../scripts/topics/sets.ts";
import { chatLog, Draws, dialogue, expand } from "../../../scripts/topics/templates.ts";
import { examplesOf } from "../../../scripts/train-topics.ts";

describe("a template", () => {
  const fillers = new Map([["name", ["Ana {Roe|Poe}"]]]);
  const all = (template: string): readonly string[] =>
    [...new Set(Array.from({ length: 60 }, (_, seed) => expand(template, fillers, new Draws(seed))))].sort();

  test("is filled with every choice and slot, within each other too", () => {
    expect(all("{a|b {c|d}} {name}")).toEqual([
      ...["a Ana Poe", "a Ana Roe", "b c Ana Poe", "b c Ana Roe", "b d Ana Poe", "b d Ana Roe"],
    ]);
  });

  test("keeps braces that are no slot, and ends lines", () => {
    expect(all("f() {\\n  {x|x}; }")).toEqual(["f() {\n  x; }"]);
    expect(all("{unclosed")).toEqual(["{unclosed"]);
  });

  test("gives the same text for the same seed", () => {
    const template = "{a|b|c|d|e|f|g|h}".repeat(8);
    expect(expand(template, fillers, new Draws(5))).toBe(expand(template, fillers, new Draws(5)));
    expect(expand(template, fillers, new Draws(5))).not.toBe(expand(template, fillers, new Draws(6)));
  });

  test("of turns makes a dialogue whose questions stand before their answers", () => {
    const family = { name: "f", lines: ["q1 => a1", "q2 => a2", "q3 => a3"], heldOut: false };
    for (let seed = 0; seed < 20; seed += 1) {
      const turns = dialogue(family, fillers, new Draws(seed));
      expect(turns.length % 2).toBe(0);
      for (let at = 0; at < turns.length; at += 2) expect(turns[at + 1]).toBe(turns[at]?.replace("q", "a"));
    }
  });

  test("of messages makes a log with every message and a speaker", () => {
    for (let seed = 0; seed < 40; seed += 1) {
      const log = chatLog(["one", "two"], ["Ana"], new Draws(seed));
      expect(log).toMatch(/Ana.*one.*Ana.*two/s);
    }
  });
});

describe("the self-made data", () => {
  const { sets, absent } = loadSets("no-such-folder");

  test("is there without the outside sets, and those are named", () => {
    expect(absent).toContain("clinc150");
    expect(sets.map(({ name }) => name)).toContain("templates");
  });

  test("has sentences and templates enough, and no sentence twice", () => {
    const chinese = sets.filter(({ name }) => name.startsWith("hr-zh")).flatMap(({ rows }) => rows);
    expect(chinese.length).toBeGreaterThanOrEqual(150);
    expect(new Set(chinese.map(({ texts }) => texts[0])).size).toBe(chinese.length);
  });

  test("measures short messages by others than those that templates make", () => {
    const letters = (text: string | undefined): string =>
      (text ?? "").toLowerCase().replaceAll(/[^\p{L}\p{N} ]/gu, "");
    const of = (beginning: string): readonly string[] =>
      sets
        .filter(({ name }) => name.startsWith(beginning))
        .flatMap(({ rows }) => rows.map(({ texts }) => letters(texts[0])));
    const made = new Set(of("templates"));
    expect(of("short-").length).toBeGreaterThanOrEqual(150);
    expect(of("short-").filter((text) => made.has(text))).toEqual([]);
  });

  test("leaves no slot unfilled", () => {
    const unfilled = sets
      .flatMap(({ rows }) => rows)
      .flatMap(({ texts }) => texts)
      .filter((text) => /\{[a-z]+\}|\{\p{Script=Han}+\}/u.test(text));
    expect(unfilled).toEqual([]);
  });

  test("keeps what is held out from the training", () => {
    const held = new Set(sets.filter(({ name }) => name.endsWith(HELD_OUT)).flatMap(({ rows }) => rows));
    expect(held.size).toBeGreaterThanOrEqual(75);
    expect(examplesOf(sets).some((example) => held.has(example as never))).toBe(false);
  });

  test("lies where the option says, else the environment, else beside the repository", () => {
    expect(dataFolder("a", "b")).toBe("a");
    expect(dataFolder(undefined, "b")).toBe("b");
    expect(dataFolder(undefined, undefined)).toMatch(/shared.data$/);
  });
});

describe("training", () => {
  const examples: readonly Example[] = [
    { texts: ["my wages are late", "which month?"], topic: "hr", weight: 1 },
    { texts: ["my salary is wrong"], topic: "hr", weight: 1 },
    { texts: ["boil the rice"], topic: "public", weight: 1 },
    { texts: ["sort a list of numbers in python"], topic: "public", weight: 0.5 },
    { texts: ["ana: hi\nbob: hello"], topic: "chat-log", weight: 1 },
  ];

  test("gives the same bytes for the same examples, and others for others", () => {
    const once = writeTopicModel(fitTopicModel(examples));
    expect(Buffer.from(writeTopicModel(fitTopicModel(examples))).equals(once)).toBe(true);
    expect(Buffer.from(writeTopicModel(fitTopicModel(examples.slice(1)))).equals(once)).toBe(false);
    expect(Buffer.from(writeTopicModel(fitTopicModel(examples, { ...FIT, seed: 8 }))).equals(once)).toBe(
      false,
    );
  });
});

describe("Clopper-Pearson bounds", () => {
  // Of R's binom.test(x, n)$conf.int.
  test.each([
    [0, 10, 0, 0.3085],
    [10, 10, 0.6915, 1],
    [5, 10, 0.1871, 0.8129],
    [1, 100, 0.0002531, 0.0544594],
    [170, 170, 0.978535, 1],
  ])("of %i in %i", (hits, n, low, high) => {
    const bounds = clopperPearson(hits, n);
    expect(bounds.low).toBeCloseTo(low, 4);
    expect(bounds.high).toBeCloseTo(high, 4);
  });

  test("of nothing say nothing", () => {
    expect(clopperPearson(0, 0)).toEqual({ low: 0, high: 1 });
  });
});
