/** Conversations that stay in the house: which are known again, and what becomes of the files. */
import {
  closeSync,
  fsync,
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
import { crc32 } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openPins, type Pins, PinsError } from "../../../engine/routing/pins.ts";
import { endingOf } from "../../../server/cli/failure.ts";

// A disk fails where a test says so; otherwise it is the system's own.
vi.mock("node:fs", { spy: true });

let folder: string;
let full: string[];
let opened: Pins[];
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "weir-pins-")), "pins");
  full = [];
  opened = [];
});
afterEach(async () => {
  vi.resetAllMocks();
  for (const pins of opened) await pins.close();
  rmSync(join(folder, ".."), { recursive: true, force: true });
});

const open = (tableBytes = 2 ** 16): Pins => {
  const pins = openPins({ folder, onFull: (dataClass) => full.push(dataClass), tableBytes, tablesMax: 3 });
  opened.push(pins);
  return pins;
};
/** As after a restart: what the process held in memory is gone. */
const reopen = async (tableBytes?: number): Promise<Pins> => {
  for (const pins of opened.splice(0)) await pins.close();
  return open(tableBytes);
};

function problemOf(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

const system = { role: "system", content: "You are the assistant of a large company." };
const user = (content: unknown) => ({ role: "user", content });
const assistant = (content: unknown) => ({ role: "assistant", content });
const body = (...messages: readonly unknown[]) => ({ model: "auto", messages });
const FIRST = body(system, user("What does Dana earn?"));
const ANSWER = "Dana earns eighty-four thousand a year, before taxes.";

describe("a conversation that was restricted once", () => {
  test("stays so, after any number of turns and a restart", async () => {
    open().remember("key-1", FIRST, "restricted");
    const later = body(system, user("What does Dana earn?"), assistant("A lot."), user("And now a poem."));
    expect(open().lookup("key-1", later)).toBe("restricted");
    expect((await reopen()).lookup("key-1", later)).toBe("restricted");
    expect((await reopen()).lookup("key-1", FIRST)).toBe("restricted");
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

describe("beyond the conversation itself", () => {
  const LONG = "What does Dana in accounting earn, and what would it be after the raise that was announced?";
  const few = [
    user("An example of a question that is the same in all conversations of the service."),
    assistant("Yes."),
  ];

  test("a completion's prompt is what a user says, also in a chat", () => {
    for (const text of ["What does Dana earn?", LONG]) {
      const pins = open();
      pins.remember("key-1", { prompt: text }, "restricted");
      pins.remember("key-2", body(system, user(text)), "restricted");
      for (const key of ["key-1", "key-2"]) {
        expect(pins.lookup(key, { prompt: ` ${text}\n` })).toBe("restricted");
        expect(pins.lookup(key, { prompt: [text, "What is a river?"] })).toBe("restricted");
        expect(pins.lookup(key, body(user(text), assistant("A lot."), user("Why?")))).toBe("restricted");
        expect(pins.lookup(key, { prompt: "What is a river?" })).toBeUndefined();
      }
    }
  });

  test("several prompts are pinned together, and by themselves where they are long enough to tell", () => {
    const pins = open();
    pins.remember("key-1", { prompt: ["What is a river?", LONG] }, "restricted");
    expect(pins.lookup("key-1", { prompt: LONG })).toBe("restricted");
    expect(pins.lookup("key-1", { prompt: "What is a river?" })).toBeUndefined();
  });

  test("what a user said since the last answer is known wherever it stands; what came before it is not", () => {
    const pins = open();
    pins.remember("key-1", body(...few, user("Now this one."), user(` ${LONG}`)), "restricted");
    for (const other of [
      body(user("Hello."), assistant("Hello."), user(LONG)),
      body(user(LONG), assistant("A lot."), user("Why?")),
      { prompt: LONG },
    ]) {
      expect(pins.lookup("key-1", other)).toBe("restricted");
      expect(pins.lookup("key-2", other)).toBeUndefined();
    }
    expect(
      pins.lookup("key-1", body(...few, user("And this one, which is about something else."))),
    ).toBeUndefined();
    expect(pins.lookup("key-1", body(user("Hello."), user("Now this one.")))).toBeUndefined();
    // Said by somebody else it is no message of the user.
    expect(pins.lookup("key-1", body({ role: "system", content: LONG }, user("Hello.")))).toBeUndefined();
  });

  test("arguments of a call are known again in whatever white space, and as an assistant's alone", () => {
    const pins = open();
    pins.rememberAnswer("key-1", '{"name":"Dana Vries","pay":84000,"currency":"EUR"}', "restricted");
    const written = '{ "name": "Dana Vries", "pay": 84000,\n "currency": "EUR" }';
    const call = { id: "c", type: "function", function: { name: "f", arguments: written } };
    for (const message of [
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "assistant", content: "Of course.", tool_calls: [{ function: null }, call] },
      { role: "assistant", function_call: call.function },
      assistant(written),
    ])
      expect(pins.lookup("key-1", body(user("Go on."), message))).toBe("restricted");
    expect(pins.lookup("key-1", body({ role: "user", content: "x", tool_calls: [call] }))).toBeUndefined();
  });

  test("more calls than are read are restricted", () => {
    const calls = Array.from({ length: 2048 }, () => ({ function: { name: "f", arguments: "{}" } }));
    const withCalls = (count: number) =>
      body(user("Go on."), { role: "assistant", tool_calls: calls.slice(0, count) });
    expect(open().lookup("key-1", withCalls(2046))).toBeUndefined();
    expect(open().lookup("key-1", withCalls(2047))).toBe("restricted");
  });

  test("a request that is looked up and remembered is read once", () => {
    let reads = 0;
    const message = {
      role: "user",
      get content(): string {
        reads += 1;
        return LONG;
      },
    };
    const asked = body(message);
    const pins = open();
    expect(pins.lookup("key-1", asked)).toBeUndefined();
    pins.remember("key-1", asked, "restricted");
    expect(reads).toBe(1);
    expect(pins.lookup("key-2", asked)).toBeUndefined();
    expect(pins.lookup("key-1", asked)).toBe("restricted");
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
    ["a completion of tokens", { prompt: [318, 12, 7] }],
    ["completions of tokens", { prompt: [[318, 12], [7]] }],
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
  test("pins each conversation of its caller that it comes back in", async () => {
    const pins = open();
    pins.rememberAnswer("key-1", `\n${ANSWER} `, "restricted");
    const others = [
      body(user("Go on."), assistant(ANSWER), user("Shorter, please.")),
      body(assistant([{ type: "text", text: ANSWER }]), user("Shorter, please.")),
    ];
    for (const after of [pins, await reopen()]) {
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
    expect(
      endingOf(
        problemOf(() => open()),
        false,
      ).lines,
    ).toEqual([expect.stringContaining("Put a copy back")]);
  });

  test("are made anew where the very first start broke off", async () => {
    mkdirSync(folder);
    writeFileSync(path("personal.pins"), "");
    const pins = open();
    pins.remember("key-1", FIRST, "restricted");
    expect((await reopen()).lookup("key-1", FIRST)).toBe("restricted");
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
    for (const _ of [1, 2]) {
      vi.mocked(writeSync).mockImplementationOnce(() => {
        throw new Error("ENOSPC");
      });
      expect(() => pins.remember("key-1", FIRST, "restricted")).toThrow("ENOSPC");
    }
    // Whoever fails may still be asked; and what was remembered by then is written once there is room.
    expect(pins.lookup("key-1", FIRST)).toBe("restricted");
    pins.remember("key-1", FIRST, "restricted");
    expect(open().lookup("key-1", FIRST)).toBe("restricted");
  });

  test("that are closed take no pin", async () => {
    const pins = open();
    const closed = pins.close();
    expect(() => pins.remember("key-1", FIRST, "restricted")).toThrow();
    await closed;
    expect(() => pins.rememberAnswer("key-1", ANSWER, "restricted")).toThrow();
  });

  test("that cannot be forced to disk make remembering fail from then on, and end no process", async () => {
    const pins = open();
    vi.mocked(fsync).mockImplementation((_file, done) => done(new Error("EIO: i/o error, fsync")));
    vi.useFakeTimers();
    pins.remember("key-1", FIRST, "restricted");
    await vi.advanceTimersByTimeAsync(1001);
    vi.useRealTimers();
    for (const _ of [1, 2])
      expect(() => pins.remember("key-1", body(user("another")), "restricted")).toThrow("EIO");
    expect(pins.lookup("key-1", FIRST)).toBe("restricted");
    await pins.close();
  });
});

describe("a table that is full", () => {
  const SMALL = 2 ** 10;
  const names = (): string[] => readdirSync(folder).filter((name) => name.startsWith("restricted"));
  const nth = (index: number) => body(user(`${index}`));
  const isPinned = (pins: Pins, index: number): boolean => pins.lookup("key-1", nth(index)) === "restricted";
  const allPinned = (pins: Pins, count: number): boolean =>
    Array.from({ length: count }, (_, index) => isPinned(pins, index)).every(Boolean);
  /** How many it took. */
  const fillUp = (pins: Pins, until = (): boolean => full.length > 0): number => {
    let count = 0;
    for (; !until(); count += 1) {
      if (count > 10_000) throw new Error("it never fills");
      pins.remember("key-1", nth(count), "restricted");
    }
    return count;
  };
  const setHead = (name: string, head: Uint8Array): void => {
    const file = openSync(join(folder, name), "r+");
    writeSync(file, head, 0, head.length, 0);
    closeSync(file);
  };

  test("is followed by another one, and all of them are asked, also after a restart", async () => {
    const count = fillUp(open(SMALL));
    expect(names()).toEqual(["restricted-2.pins", "restricted-3.pins", "restricted.pins"]);
    expect(allPinned(opened[0] as Pins, count)).toBe(true);
    const pins = await reopen(SMALL);
    expect(allPinned(pins, count)).toBe(true);
    const wrong = Array.from({ length: 2000 }, (_, index) => pins.lookup("key-2", nth(index))).filter(
      Boolean,
    );
    // One in twenty thousand at the most: what is full is told before it is wrong more often.
    expect(wrong.length).toBeLessThan(3);
  });

  test("is told once for its class, when there may be no further one", () => {
    const pins = open(SMALL);
    const count = fillUp(pins);
    expect(full).toEqual(["restricted"]);
    for (let index = count; index < count + 20; index += 1) pins.remember("key-1", nth(index), "restricted");
    expect(full).toEqual(["restricted"]);
    expect(names()).toHaveLength(3);
    expect(allPinned(pins, count + 20)).toBe(true);
    open(SMALL);
    expect(full).toEqual(["restricted", "restricted"]);
  });

  test("says how much room is left", () => {
    const pins = open(SMALL);
    expect(pins.fill()).toEqual({ personal: 0, restricted: 0 });
    fillUp(pins, () => names().length === 2);
    expect(pins.fill().restricted).toBeGreaterThan(0.33);
    expect(pins.fill().restricted).toBeLessThan(0.35);
    fillUp(pins);
    expect(pins.fill().personal).toBe(0);
    expect(pins.fill().restricted).toBeGreaterThan(0.98);
  });

  test.each(["restricted-3.pins", "restricted-2.pins"])(
    "stops the start where one after it is gone: %s",
    async (name) => {
      fillUp(open(SMALL));
      for (const pins of opened.splice(0)) await pins.close();
      unlinkSync(join(folder, name));
      expect(() => open(SMALL)).toThrow(`${name} is damaged: it is gone`);
    },
  );

  test("may be followed by one that a crash left half made, or that its own head does not know of", async () => {
    const count = fillUp(open(SMALL), () => names().length === 2);
    for (const pins of opened.splice(0)) await pins.close();
    const head = readFileSync(join(folder, "restricted.pins")).subarray(0, 4096);
    // The byte behind the count says that another one follows.
    expect(head[40]).toBe(1);
    head[40] = 0;
    head.writeUInt32LE(crc32(head.subarray(4)), 0);
    setHead("restricted.pins", head);
    expect(allPinned(open(SMALL), count)).toBe(true);

    for (const pins of opened.splice(0)) await pins.close();
    setHead("restricted.pins", head);
    writeFileSync(join(folder, "restricted-2.pins"), "");
    open(SMALL).remember("key-1", nth(count), "restricted");
    expect(isPinned(await reopen(SMALL), count)).toBe(true);
  });
});
