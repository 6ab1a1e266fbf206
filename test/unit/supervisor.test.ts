import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ChildEnd, type History, judge, type RestartPolicy } from "../../server/supervisor.ts";

const POLICY: RestartPolicy = { restartsMax: 3, windowMs: 10_000, backoffMsMax: 1500, stopMsMax: 100 };
const segv: ChildEnd = { code: null, signal: "SIGSEGV", livedMs: 12_345 };
const history = (facts: Partial<History>): History => ({
  wasReady: true,
  stopping: false,
  crashesMs: [100],
  nowMs: 100,
  ...facts,
});

describe("what the supervisor does when its child has ended", () => {
  test("the first crash is answered at once, and the reason is told", () => {
    expect(judge(segv, history({}), POLICY)).toEqual({
      kind: "restart",
      afterMs: 0,
      why: "the engine process died from SIGSEGV after 12.3 s; restarting, attempt 1",
    });
  });

  test("further crashes wait longer, up to the bound", () => {
    const pauses = [1, 2, 3].map((crashes) => {
      const verdict = judge(segv, history({ crashesMs: Array.from({ length: crashes }, () => 100) }), POLICY);
      return verdict.kind === "restart" ? verdict.afterMs : undefined;
    });
    expect(pauses).toEqual([0, 500, 1000]);
    const many = judge(segv, history({ crashesMs: Array.from({ length: 9 }, () => 100) }), {
      ...POLICY,
      restartsMax: 20,
    });
    expect(many).toMatchObject({ kind: "restart", afterMs: 1500 });
  });

  test("one crash more than allowed within the window ends it with code 1 and a way on", () => {
    const verdict = judge(segv, history({ crashesMs: [1, 2, 3, 4], nowMs: 10_000 }), POLICY);
    expect(verdict).toMatchObject({ kind: "stop", exitCode: 1 });
    expect(verdict.why).toContain("giving up after 4 crashes within 10 s");
  });

  test("crashes before the window are forgotten", () => {
    const verdict = judge(segv, history({ crashesMs: [1, 2, 3, 20_000], nowMs: 20_000 }), POLICY);
    expect(verdict).toMatchObject({ kind: "restart", afterMs: 0 });
  });

  test("a wrong configuration (code 2) is never started again", () => {
    expect(judge({ code: 2, signal: null, livedMs: 1 }, history({}), POLICY)).toMatchObject({
      kind: "stop",
      exitCode: 2,
    });
  });

  test("a failure before the first ready is passed on, one after it is a crash", () => {
    const failed: ChildEnd = { code: 1, signal: null, livedMs: 1 };
    expect(judge(failed, history({ wasReady: false }), POLICY)).toMatchObject({ kind: "stop", exitCode: 1 });
    expect(judge(failed, history({ wasReady: true }), POLICY)).toMatchObject({ kind: "restart" });
  });

  test("an end that was asked for is no crash", () => {
    expect(judge(segv, history({ stopping: true }), POLICY)).toEqual({
      kind: "stop",
      exitCode: 139,
      why: undefined,
    });
    const hungUp: ChildEnd = { code: null, signal: "SIGHUP", livedMs: 1 };
    // It came before the child could make a reload of it.
    expect(judge(hungUp, history({ wasReady: false }), POLICY)).toMatchObject({ kind: "restart" });
    const terminated: ChildEnd = { code: null, signal: "SIGTERM", livedMs: 1 };
    expect(judge(terminated, history({}), POLICY)).toMatchObject({ kind: "stop", exitCode: 143 });
    expect(judge({ code: 0, signal: null, livedMs: 1 }, history({}), POLICY)).toMatchObject({
      kind: "stop",
      exitCode: 0,
    });
  });
});

const parentEntry = join(import.meta.dirname, "../support/supervisor/parent.ts");

/** Runs a command in a terminal of its own, sends SIGHUP, waits for the answer, and closes the terminal. */
const IN_A_TERMINAL = `
import os, pty, signal, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said = b""
def until(word):
    global said
    while word not in said:
        said += os.read(terminal, 1024)
until(b"serving")
os.kill(pid, signal.SIGHUP)
until(b"reloaded")
os.close(terminal)
os.waitpid(pid, 0)
print(pid, said.count(b"reloaded"))
`;

describe("a supervisor with a real child", () => {
  let folder: string;
  const running: ChildProcess[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "weir-supervisor-"));
  });
  afterEach(() => {
    for (const child of running.splice(0)) if (child.exitCode === null) child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });

  interface Mark {
    readonly pid: number;
    readonly args: readonly string[];
    readonly atMs: number;
  }
  const marks = (): readonly Mark[] =>
    readdirSync(join(folder, "marks"))
      .sort()
      .map((name) => JSON.parse(readFileSync(join(folder, "marks", name), "utf8")) as Mark);

  function launch(...steps: string[]) {
    const parent = spawn(process.execPath, [parentEntry, join(folder, "marks"), ...steps], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.push(parent);
    let said = "";
    parent.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    let printed = "";
    const waiting: (() => void)[] = [];
    parent.stdout.setEncoding("utf8").on("data", (text: string) => {
      printed += text;
      for (const check of waiting) check();
    });
    const ended = new Promise<number | string>((resolve) => {
      parent.on("close", (code, signal) => resolve(code ?? signal ?? "?"));
    });
    const word = (sought: string, times: number): Promise<void> =>
      new Promise((resolve) => {
        const check = (): void => {
          if (printed.split(sought).length > times) resolve();
        };
        waiting.push(check);
        check();
      });
    return {
      ...{ parent, ended },
      said: () => said,
      printed: () => printed,
      serving: (times: number) => word("serving", times),
      reloaded: (times: number) => word("reloaded", times),
    };
  }

  test("a real SIGSEGV is followed by a new process within 3 s, on the same port, and said why", async () => {
    const { parent, said, ended, serving } = launch("crash", "serve");
    await serving(2);
    const [first, second] = marks();
    expect(second!.pid).not.toBe(first!.pid);
    expect(second!.atMs - first!.atMs).toBeLessThan(3000);
    expect(second!.args.slice(-3)).toEqual(["--supervised", "--port", "4321"]);
    expect(said()).toMatch(/the engine process died from SIGSEGV after \d+\.\d s; restarting, attempt 1/);
    parent.kill("SIGTERM");
    expect(await ended).toBe(0);
  });

  test("it gives up after the crashes that the configuration allows", async () => {
    const { said, ended } = launch("crash");
    expect(await ended).toBe(1);
    expect(marks()).toHaveLength(3);
    expect(said()).toContain("giving up after 3 crashes within 60 s");
  });

  test("a crash before ready is tried again too", async () => {
    const { parent, ended, serving } = launch("fall", "serve");
    await serving(1);
    expect(marks()).toHaveLength(2);
    parent.kill("SIGINT");
    expect(await ended).toBe(0);
  });

  test("exit codes 1 and 2 before ready are passed on without a restart", async () => {
    for (const code of [1, 2]) {
      const { ended } = launch(`exit:${code}`);
      expect(await ended).toBe(code);
      expect(marks()).toHaveLength(1);
      rmSync(join(folder, "marks"), { recursive: true });
    }
  });

  test("a child that ignores SIGTERM is killed when its time is over", async () => {
    const { parent, ended, serving } = launch("stubborn");
    await serving(1);
    parent.kill("SIGTERM");
    expect(await ended).toBe(137);
  });

  test("a signal that comes twice at once, as Ctrl-C does under npm, lets the child end by itself", async () => {
    const polite = launch("serve");
    await polite.serving(1);
    polite.parent.kill("SIGINT");
    polite.parent.kill("SIGTERM");
    expect(await polite.ended).toBe(0);
  });

  test("SIGHUP is handed on as a wish to reload, each time, and ends nothing", async () => {
    const { parent, ended, serving, reloaded } = launch("serve");
    await serving(1);
    parent.kill("SIGHUP");
    await reloaded(1);
    parent.kill("SIGHUP");
    await reloaded(2);
    expect(marks()).toHaveLength(1);
    parent.kill("SIGTERM");
    expect(await ended).toBe(0);
  });

  test("SIGHUP waits for a child that is not ready yet", async () => {
    const { parent, printed, ended, serving, reloaded } = launch("slow:300");
    await expect.poll(() => existsSync(join(folder, "marks", "0")), { timeout: 5000 }).toBe(true);
    parent.kill("SIGHUP");
    await serving(1);
    await reloaded(1);
    parent.kill("SIGTERM");
    expect(await ended).toBe(0);
    expect(printed()).toBe("serving\nreloaded\n");
    expect(marks()).toHaveLength(1);
  });

  test("a terminal that is closed takes supervisor and child with it, SIGHUP while it is open does not", {
    skip: spawnSync("python3", ["-c", "import pty"]).status !== 0,
  }, async () => {
    const script = join(folder, "terminal.py");
    writeFileSync(script, IN_A_TERMINAL);
    const argv = [script, process.execPath, parentEntry, join(folder, "marks"), "serve"];
    const terminal = spawn("python3", argv, { stdio: ["ignore", "pipe", "inherit"] });
    running.push(terminal);
    let said = "";
    for await (const text of terminal.stdout.setEncoding("utf8")) said += text;
    const [supervisor = 0, reloaded] = said.trim().split(" ").map(Number);
    expect(reloaded).toBe(1);
    await expect.poll(() => isAlive(supervisor), { timeout: 5000 }).toBe(false);
    expect(isAlive(marks()[0]!.pid)).toBe(false);
    expect(marks()).toHaveLength(1);
  });

  test("the child does not outlive its supervisor", async () => {
    const { parent, ended, serving } = launch("serve");
    await serving(1);
    const [{ pid }] = marks() as [Mark];
    parent.kill("SIGKILL");
    await ended;
    await expect.poll(() => isAlive(pid), { timeout: 5000 }).toBe(false);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
