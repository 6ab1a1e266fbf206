import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { assert } from "../../engine/core/assert.ts";
import { WeirError } from "../../engine/core/errors.ts";
import { bugReport, reportLines } from "../../server/bug-report.ts";
import { createLogger } from "../../server/plugins/logger.ts";

const MAIN = join(import.meta.dirname, "..", "..", "server", "main.ts");

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("it did not throw");
}

const BROKEN_PATTERN: string = "(CANARYPattern";

/** Each of them has the word in its message, and so in its stack. */
const QUOTING: Readonly<Record<string, unknown>> = {
  "the JSON parser's": thrownBy(() => JSON.parse('{"a": CANARYJson}')),
  "a number's": thrownBy(() => BigInt("CANARYNumber")),
  "a regular expression's": thrownBy(() => new RegExp(BROKEN_PATTERN)),
  "a clone's": thrownBy(() => structuredClone({ a: () => "CANARYClone" })),
  "one that looks like a stack": new Error("no\n    at CANARYFrame (/CANARYFrame.ts:1:1)"),
  "one whose message has changed": Object.assign(new Error("CANARYBefore\n    at f (/CANARY:1:1)"), {
    message: "x",
  }),
  "one that was caused": new Error("outside", {
    cause: new WeirError("internal", "own", { cause: new Error("CANARY") }),
  }),
  "no error at all": "CANARYText",
};

describe("what is told of a failure", () => {
  test.each(Object.entries(QUOTING))("%s words stay untold, in every form", (_, failure) => {
    const lines: string[] = [];
    const log = createLogger({ level: "trace" }, { write: (line: string) => void lines.push(line) });
    log.error({ err: failure }, "a request failed");
    if (failure instanceof Error) {
      log.error(failure);
      log.warn({ err: failure });
      log.warn({ err: failure, status: 500 }, failure.message);
      log.child({ reqId: "req-1" }).info({ err: failure }, failure.message);
    }
    const all = [...lines, ...reportLines(bugReport(failure))].join("\n");
    expect(all).not.toContain("CANARY");
    expect(lines[0]).toContain("a request failed");
  });

  test("its kind, its code and its place are", () => {
    expect(bugReport(QUOTING["the JSON parser's"])).toMatchObject({
      type: "SyntaxError",
      at: expect.arrayContaining([expect.stringMatching(/bug-report\.test\.ts:\d+:\d+\)?$/)]),
    });
    expect(bugReport(thrownBy(() => readFileSync("/nowhere/at/all")))).toMatchObject({
      type: "Error",
      code: "ENOENT",
      message: "ENOENT: no such file or directory, open '/nowhere/at/all'",
    });
  });

  test("what the house says itself is, and what caused it", () => {
    const failure = new WeirError("internal", "The lane is gone.", {
      cause: thrownBy(() => assert(false, "a lane has slots")),
    });
    expect(reportLines(bugReport(failure)).filter((line) => !line.startsWith("    at "))).toEqual([
      "WeirError: internal: The lane is gone.",
      "caused by AssertionError: a lane has slots",
    ]);
  });

  test("causes without an end come to one", () => {
    const failure = new Error("round");
    failure.cause = failure;
    expect(JSON.stringify(bugReport(failure)).match(/"type"/g)).toHaveLength(5);
  });
});

test("a log line that is not about an error keeps its words", () => {
  const lines: string[] = [];
  const log = createLogger({ level: "info" }, { write: (line: string) => void lines.push(line) });
  log.info("plain");
  log.info({ status: 200 }, "answered by %s", "local");
  expect(lines.map((line) => JSON.parse(line).msg)).toEqual(["plain", "answered by local"]);
});

test.each([
  ["thrown", "JSON.parse('CANARY {')"],
  ["rejected", "Promise.reject(new TypeError('CANARY'))"],
])(
  "an error that is %s where nobody catches it ends the process with 1 and says no word of it",
  (_, fault) => {
    // As soon as somebody listens.
    const preload = `process.on("newListener", (event) => event === "uncaughtException" && setImmediate(() => ${fault}))`;
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ["--import", `data:text/javascript,${encodeURIComponent(preload)}`, MAIN, "--help"],
      { encoding: "utf8", env: { PATH: process.env["PATH"], WEIR_DEBUG: "1" } },
    );
    expect(status).toBe(1);
    expect(stderr).toMatch(/^weir: (?:Syntax|Type)Error$/m);
    expect(stdout + stderr).not.toContain("CANARY");
  },
);
