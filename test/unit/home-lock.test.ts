/** One server a home; the lock goes with the process that holds it, however that ends. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lockHome } from "../../server/home-lock.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "weir-home-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

test("a second server is refused, by a sentence that says what to do, until the first has gone", () => {
  const first = lockHome(home);
  expect(() => lockHome(home)).toThrow(
    /WEIR_HOME: is .* another weir server uses\. Stop that one, or give this one/,
  );
  first.release();
  lockHome(home).release();
});

test("a server that was killed holds nothing", async () => {
  const module = join(import.meta.dirname, "../../server/home-lock.ts");
  const script = join(home, "holder.mjs");
  writeFileSync(
    script,
    `import { lockHome } from ${JSON.stringify(module)};
     globalThis.held = lockHome(${JSON.stringify(home)});
     process.send("held");
     setInterval(() => globalThis.held, 1000);`,
  );
  const holder = fork(script);
  await once(holder, "message");
  expect(() => lockHome(home)).toThrow(/another weir server/);
  const ended = once(holder, "exit");
  holder.kill("SIGKILL");
  await ended;
  lockHome(home).release();
});
