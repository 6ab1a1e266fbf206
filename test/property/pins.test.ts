/** Whatever is remembered, in whatever order, and however often weir starts again: it is never forgotten. */
import { hash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { atLeast, type DataClass, maxClass } from "../../engine/core/data-class.ts";
import { PinTable } from "../../engine/routing/pins/pin-table.ts";
import { openPins, type Pins } from "../../engine/routing/pins.ts";

interface Message {
  readonly role: string;
  readonly content: string;
}

/** Few words, so that conversations share their beginnings and their answers. */
const LONG = "An answer or a message of a user that is long enough to be told from others: ";
const message: fc.Arbitrary<Message> = fc.record({
  role: fc.constantFrom("system", "user", "user", "assistant", "assistant"),
  content: fc.constantFrom("a", "b", `${LONG}a`, `${LONG}b`),
});
const messages = fc.array(message, { maxLength: 5 });
const caller = fc.constantFrom("key-1", "key-2");
const dataClass = fc.constantFrom<DataClass>("public", "internal", "personal", "restricted");

const move = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("remember" as const), caller, messages, dataClass }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("answer" as const), caller, text: message, dataClass }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("lookup" as const), caller, messages }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const), tidily: fc.boolean() }) },
);

/** What was remembered, in plain words: beginnings with a user in them, answers, and what a user said since the last one. */
class Told {
  readonly #pins: { readonly what: string; readonly dataClass: DataClass }[] = [];

  remember(by: string, list: readonly Message[], value: DataClass): void {
    const beginnings = Told.#beginnings(list).map((what) => `${by} ${what}`);
    const whole = beginnings.at(-1);
    if (whole === undefined) return;
    const known = this.#pins.some(({ what, dataClass }) => dataClass === value && beginnings.includes(what));
    if (known) return;
    this.#add(whole, value);
    const since = list.slice(list.findLastIndex(({ role }) => role === "assistant") + 1);
    for (const { role, content } of since)
      if (role === "user" && content.startsWith(LONG)) this.#add(`${by} user ${content}`, value);
  }

  answer(by: string, text: string, value: DataClass): void {
    if (text.startsWith(LONG)) this.#add(`${by} assistant ${text}`, value);
  }

  lookup(by: string, list: readonly Message[]): DataClass | undefined {
    const sayings = list.map(({ role, content }) => `${role} ${content}`);
    const known = new Set([...Told.#beginnings(list), ...sayings].map((what) => `${by} ${what}`));
    const found = this.#pins.filter(({ what }) => known.has(what)).map((pin) => pin.dataClass);
    return found.length === 0 ? undefined : found.reduce(maxClass);
  }

  #add(what: string, value: DataClass): void {
    if (atLeast(value, "personal")) this.#pins.push({ what, dataClass: value });
  }

  static #beginnings(list: readonly Message[]): string[] {
    const first = list.findIndex(({ role }) => role === "user");
    const turns = first === -1 ? [] : list.slice(first);
    return turns.map((_, index) => JSON.stringify(turns.slice(0, index + 1)));
  }
}

test("a class that a conversation had is found again in all that it becomes, and no other is made up", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(move, { maxLength: 30 }), async (moves) => {
      const folder = mkdtempSync(join(tmpdir(), "weir-pins-"));
      const opened: Pins[] = [];
      const open = (): Pins => {
        const pins = openPins({ folder, onFull: () => undefined, tableBytes: 2 ** 14 });
        opened.push(pins);
        return pins;
      };
      try {
        let pins = open();
        const told = new Told();
        for (const each of moves) {
          if (each.kind === "remember") {
            pins.remember(each.caller, { messages: each.messages }, each.dataClass);
            told.remember(each.caller, each.messages, each.dataClass);
          } else if (each.kind === "answer") {
            pins.rememberAnswer(each.caller, each.text.content, each.dataClass);
            told.answer(each.caller, each.text.content, each.dataClass);
          } else if (each.kind === "lookup") {
            const expected = told.lookup(each.caller, each.messages);
            // So few pins in so many bits raise no false alarm: once in some 10^13 lookups.
            expect(pins.lookup(each.caller, { messages: each.messages })).toBe(expected);
          } else {
            if (each.tidily) await opened.pop()?.close();
            pins = open();
          }
        }
      } finally {
        for (const pins of opened) await pins.close();
        rmSync(folder, { recursive: true, force: true });
      }
    }),
    { numRuns: 150 },
  );
});

test("a table has all that was put into it, and says how often it is wrong", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4000 }), fc.nat(), (count, seed) => {
      const bytes = new Uint8Array(2 ** 11);
      const table = new PinTable(bytes);
      const digest = (index: number): string => hash("sha256", `${seed} ${index}`, "hex");
      const before = Uint8Array.from(bytes);
      for (let index = 0; index < count; index += 1) {
        for (const at of table.add(digest(index))) before[at] = bytes[at] as number;
      }
      // Each change was told, and what was told is all.
      expect(before).toEqual(bytes);
      expect(new PinTable(bytes).set).toBe(table.set);
      for (let index = 0; index < count; index += 1) expect(table.has(digest(index))).toBe(true);
      let wrong = 0;
      const others = 2000;
      for (let index = 0; index < others; index += 1) if (table.has(digest(10_000 + index))) wrong += 1;
      const deviation = Math.sqrt((table.falseAlarms * (1 - table.falseAlarms)) / others);
      expect(Math.abs(wrong / others - table.falseAlarms)).toBeLessThan(6 * deviation + 2 / others);
    }),
    { numRuns: 50 },
  );
});
