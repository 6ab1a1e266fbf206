/** Conversations that stay in the house: which are known again, and what becomes of the files. */
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openPins, type Pins, PinsError } from "../../../engine/routing/pins.ts";

let folder: string;
let full: number[];
let opened: Pins[];
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "weir-pins-")), "pins");
  full = [];
  opened = [];
});
afterEach(() => {
  for (const pins of opened) pins.close();
  rmSync(join(folder, ".."), { recursive: true, force: true });
});

const open = (tableBytes = 2 ** 16): Pins => {
  const pins = openPins({ folder, onFull: (share) => full.push(share), tableBytes });
  opened.push(pins);
  return pins;
};
/** As after a restart: what the process held in memory is gone. */
const reopen = (): Pins => {
  for (const pins of opened.splice(0)) pins.close();
  return open();
};

const system = { role: "system", content: "You are the assistant of a large company." };
const user = (content: unknown) => ({ role: "user", content });
const assistant = (content: unknown) => ({ role: "assistant", content });
const body = (...messages: readonly unknown[]) => ({ model: "auto", messages });
const FIRST = body(system, user("What does Dana earn?"));
const ANSWER = "Dana earns eighty-four thousand a year, before taxes.";

describe("a conversation that was restricted once", () => {
  test("stays so, after any number of turns and a restart", () => {
    open().remember("key-1", FIRST, "restricted");
    const later = body(system, user("What does Dana earn?"), assistant("A lot."), user("And now a poem."));
    expect(open().lookup("key-1", later)).toBe("restricted");
    expect(reopen().lookup("key-1", later)).toBe("restricted");
    expect(reopen().lookup("key-1", FIRST)).toBe("restricted");
  });

  test("is known in each form in which clients send it", () => {
    const pins = open();
    pins.remember("key-1", body(user("caf\u00e9\r\nbar"), assistant(null), user("b\nc")), "personal");
    const parts = [
      { type: "text", text: "b" },
      { type: "input_text", text: "c " },
    ];
    const forms = [
      body(user([{ type: "text", text: " cafe\u0301\nbar\n" }]), assistant(""), user(parts)),
      body(
        system,
        user("cafe\u0301\nbar"),
        { role: "assistant", tool_calls: [] },
        { ...user(parts), name: "x" },
      ),
    ];
    for (const form of forms) expect(pins.lookup("key-1", form)).toBe("personal");
  });

  test("is another one for another caller, other words, other roles, or before it was restricted", () => {
    const pins = open();
    pins.remember("key-1", body(user("a"), assistant("b"), user("c")), "restricted");
    expect(pins.lookup("key-2", body(user("a"), assistant("b"), user("c")))).toBeUndefined();
    expect(pins.lookup("key-1", body(user("a"), assistant("b"), user("d")))).toBeUndefined();
    expect(pins.lookup("key-1", body(user("a"), user("b"), user("c")))).toBeUndefined();
    expect(pins.lookup("key-1", body(user("a"), assistant("b")))).toBeUndefined();
    expect(pins.lookup("key-1", body(user("ab"), user("c")))).toBeUndefined();
  });

  test("is restricted also where it is personal besides", () => {
    const pins = open();
    pins.remember("key-1", body(user("a")), "personal");
    pins.remember("key-1", body(user("a"), assistant("b"), user("c")), "restricted");
    expect(pins.lookup("key-1", body(user("a"), user("z")))).toBe("personal");
    expect(pins.lookup("key-1", body(user("a"), assistant("b"), user("c"), user("d")))).toBe("restricted");
  });

  test("takes one pin, however many turns it has", () => {
    const pins = open();
    pins.remember("key-1", FIRST, "restricted");
    const before = readFileSync(join(folder, "restricted.pins"));
    pins.remember("key-1", body(...FIRST.messages, assistant("No."), user("Why?")), "restricted");
    expect(readFileSync(join(folder, "restricted.pins")).equals(before)).toBe(true);
  });
});

describe("nothing is pinned", () => {
  test("by a system prompt alone", () => {
    const pins = open();
    pins.remember("key-1", body(system), "restricted");
    pins.remember("key-1", body(system, assistant("Good morning.")), "restricted");
    pins.remember("key-1", FIRST, "restricted");
    expect(pins.lookup("key-1", body(system))).toBeUndefined();
    expect(pins.lookup("key-1", body(system, user("Good morning.")))).toBeUndefined();
  });

  test.each(["public", "internal"] as const)("by a %s request", (dataClass) => {
    const pins = open();
    pins.remember("key-1", FIRST, dataClass);
    pins.rememberAnswer("key-1", ANSWER, dataClass);
    expect(pins.lookup("key-1", body(...FIRST.messages, assistant(ANSWER)))).toBeUndefined();
  });

  test.each([
    ["a completion", { prompt: "What does Dana earn?" }],
    ["nothing", undefined],
    ["a text", "messages"],
    ["messages that are none", { messages: 3 }],
    ["messages of no kind", { messages: [null, 3, "x", { role: 7 }, []] }],
  ])("by %s", (_, other) => {
    const pins = open();
    pins.remember("key-1", other, "restricted");
    expect(pins.lookup("key-1", other)).toBeUndefined();
  });

  test("but a conversation of more than 2048 messages is not read, and stays in the house", () => {
    const pins = open();
    const long = (count: number) => body(...Array.from({ length: count }, (_, i) => user(`${i}`)));
    expect(pins.lookup("key-1", long(2048))).toBeUndefined();
    expect(pins.lookup("key-1", long(2049))).toBe("restricted");
    pins.remember("key-1", long(2049), "restricted");
    expect(pins.lookup("key-1", long(2048))).toBe("restricted");
  });

  test("for a class that nobody knows, all is restricted", () => {
    const pins = open();
    pins.remember("key-1", FIRST, "secret" as "restricted");
    expect(pins.lookup("key-1", FIRST)).toBe("restricted");
  });
});

describe("an answer to a restricted request", () => {
  test("pins each conversation of its caller that it comes back in", () => {
    const pins = open();
    pins.rememberAnswer("key-1", `\n${ANSWER} `, "restricted");
    const others = [
      body(user("Go on."), assistant(ANSWER), user("Shorter, please.")),
      body(assistant([{ type: "text", text: ANSWER }]), user("Shorter, please.")),
    ];
    for (const after of [pins, reopen()]) {
      for (const other of others) {
        expect(after.lookup("key-1", other)).toBe("restricted");
        expect(after.lookup("key-2", other)).toBeUndefined();
      }
    }
  });

  test("of a few words pins nothing, nor does one that a user repeats", () => {
    const pins = open();
    pins.rememberAnswer("key-1", `${"x".repeat(31)} \n`, "restricted");
    pins.rememberAnswer("key-1", ANSWER, "restricted");
    expect(pins.lookup("key-1", body(user("a"), assistant("x".repeat(31))))).toBeUndefined();
    expect(pins.lookup("key-1", body(user(ANSWER)))).toBeUndefined();
    pins.rememberAnswer("key-1", "x".repeat(32), "personal");
    expect(pins.lookup("key-1", body(user("a"), assistant("x".repeat(32))))).toBe("personal");
  });
});

describe("the files", () => {
  const path = (name: string): string => join(folder, name);
  const overwrite = (name: string, position: number, bytes: Uint8Array): void => {
    const file = openSync(path(name), "r+");
    writeSync(file, bytes, 0, bytes.length, position);
    closeSync(file);
  };
  /** Where the block of the first pinned bit is. */
  const blockAt = (): number => {
    const bytes = readFileSync(path("restricted.pins"));
    return 4096 * Math.floor(bytes.findIndex((byte, at) => at >= 4096 && byte !== 0) / 4096);
  };

  test("are the owner's alone, take no room before they are used, and hold no text", () => {
    const pins = openPins({ folder, onFull: () => undefined });
    opened.push(pins);
    pins.remember("key-1", FIRST, "restricted");
    pins.rememberAnswer("key-1", ANSWER, "personal");
    expect(readdirSync(folder).sort()).toEqual(["personal.pins", "pins.key", "restricted.pins"]);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(folder)) {
      const { mode, size, blocks } = statSync(path(name));
      expect(mode & 0o777).toBe(0o600);
      expect(512 * blocks).toBeLessThan(2 ** 17);
      if (name !== "pins.key") expect(size).toBeGreaterThan(2 ** 23);
      const text = readFileSync(path(name), "latin1");
      for (const word of ["Dana", "key-1", "earn"]) expect(text).not.toContain(word);
    }
  });

  test.each<[string, () => void, RegExp]>([
    ["a table is cut", () => truncateSync(path("restricted.pins"), 8192), /has 8192 bytes/],
    ["a table is empty", () => truncateSync(path("personal.pins"), 0), /has 0 bytes/],
    ["a table is gone", () => unlinkSync(path("personal.pins")), /is gone/],
    ["the key is gone", () => unlinkSync(path("pins.key")), /pins\.key is damaged: it is gone/],
    ["the key is none", () => writeFileSync(path("pins.key"), "secret\n"), /is no key/],
    ["the key is another", () => writeFileSync(path("pins.key"), `${"ab".repeat(32)}\n`), /another key/],
    [
      "a head is lost",
      () => overwrite("restricted.pins", 0, new Uint8Array(4096)),
      /its head cannot be read/,
    ],
    [
      "a head is changed",
      () => overwrite("restricted.pins", 40, Uint8Array.of(255)),
      /its head cannot be read/,
    ],
    [
      "a bit is changed",
      () => overwrite("restricted.pins", blockAt() + 9, Uint8Array.of(255)),
      /its checksum/,
    ],
    [
      "a block is lost",
      () => overwrite("restricted.pins", blockAt(), new Uint8Array(4096)),
      /parts of it are/,
    ],
  ])("stop the start where %s", (_, damage, what) => {
    open().remember("key-1", FIRST, "restricted");
    damage();
    expect(() => open()).toThrow(PinsError);
    expect(() => open()).toThrow(what);
    expect(() => open()).toThrow(/weir does not start .* Put a copy back; or move its folder aside/);
  });

  test("are made anew where the very first start broke off", () => {
    mkdirSync(folder);
    writeFileSync(path("personal.pins"), "");
    const pins = open();
    pins.remember("key-1", FIRST, "restricted");
    expect(reopen().lookup("key-1", FIRST)).toBe("restricted");
  });

  test("keep what a crash left: all pins, and bits that the head does not count yet", () => {
    const pins = open();
    pins.remember("key-1", FIRST, "restricted");
    const head = readFileSync(path("restricted.pins")).subarray(0, 4096);
    pins.remember("key-1", body(user("another")), "restricted");
    overwrite("restricted.pins", 0, head);
    // Not closed before: it is there all the same.
    const after = open();
    for (const each of [FIRST, body(user("another"))]) expect(after.lookup("key-1", each)).toBe("restricted");
  });

  test("that cannot be written make remembering fail each time, not only the first", () => {
    const pins = open();
    pins.remember("key-1", body(user("before")), "restricted");
    pins.close();
    for (const _ of [1, 2]) {
      expect(() => pins.remember("key-1", FIRST, "restricted")).toThrow();
      expect(() => pins.rememberAnswer("key-1", ANSWER, "restricted")).toThrow();
    }
    // Whoever fails may still be asked.
    expect(pins.lookup("key-1", FIRST)).toBe("restricted");
  });

  test("say once when they are so full that one of a hundred others would be taken for pinned", () => {
    const pins = open(2 ** 12);
    for (let i = 0; full.length === 0; i += 1) pins.remember("key-1", body(user(`${i}`)), "restricted");
    for (let i = 0; i < 100; i += 1) pins.remember("key-2", body(user(`${i}`)), "restricted");
    expect(full).toHaveLength(1);
    expect(full[0]).toBeGreaterThan(0.01);
    expect(full[0]).toBeLessThan(0.011);
    open(2 ** 12);
    expect(full).toHaveLength(2);
  });
});
