/**
 * Runs the server in a child process and starts it again when it crashes: a fault in native code takes a whole process
 * down, and nothing inside it can help. Holds no state but the times of crashes, and imports next to nothing.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import type { Clock } from "../engine/core/clock.ts";
import { onHangUp, watchTerminal } from "./hang-up.ts";

export interface RestartPolicy {
  /** Crashes within `windowMs` after which the supervisor gives up. */
  readonly restartsMax: number;
  readonly windowMs: number;
  /** The longest pause before a restart; the first one has none. */
  readonly backoffMsMax: number;
  /** How long a child may take to stop once it was told to, before it is killed. */
  readonly stopMsMax: number;
}

/** Holds until the child is ready and sends its own, from the configuration. */
const FIRST_POLICY: RestartPolicy = {
  restartsMax: 5,
  windowMs: 60_000,
  backoffMsMax: 10_000,
  stopMsMax: 60_000,
};

/** What the child says over IPC once it serves. A restart binds the same port, also where a free one was taken. */
export interface ReadyMessage {
  readonly weir: "ready";
  readonly port: number;
  readonly policy: RestartPolicy;
}

export interface SuperviseOptions {
  /** The file that Node runs, and its arguments; `--supervised` and on restarts `--port` are added. */
  readonly entry: string;
  readonly args: readonly string[];
  readonly clock: Clock;
  readonly say: (line: string) => void;
}

/** How a child ended: by itself with `code`, or killed by `signal`. */
export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly livedMs: number;
}

/** What the supervisor knows when a child has ended. */
export interface History {
  /** True once any child was ready: before that, a plain failure is not a crash but a mistake to be fixed. */
  readonly wasReady: boolean;
  /** True after SIGTERM, SIGINT, or the end of the terminal. */
  readonly stopping: boolean;
  /** Times of crashes on the clock's monotonic scale, in ms, this one included. */
  readonly crashesMs: readonly number[];
  readonly nowMs: number;
}

export type Verdict =
  | { readonly kind: "stop"; readonly exitCode: number; readonly why: string | undefined }
  | { readonly kind: "restart"; readonly afterMs: number; readonly why: string };

const BACKOFF_FIRST_MS = 500;
/** Somebody asked for these; a crash never sends them. */
const POLITE = new Set<NodeJS.Signals>(["SIGTERM", "SIGINT"]);

/** Decides from the facts alone, so that it can be tested without a process. */
export function judge(end: ChildEnd, history: History, policy: RestartPolicy): Verdict {
  const exitCode = end.code ?? 128 + (end.signal === null ? 0 : constants.signals[end.signal]);
  if (history.stopping) return { kind: "stop", exitCode, why: undefined };
  if (end.code === 0 || end.code === 2) return { kind: "stop", exitCode: end.code, why: undefined };
  if (end.signal !== null && POLITE.has(end.signal)) return { kind: "stop", exitCode, why: undefined };
  if (end.signal === null && !history.wasReady) return { kind: "stop", exitCode, why: undefined };

  const died = `the engine process ${describe(end)} after ${(end.livedMs / 1000).toFixed(1)} s`;
  const recent = history.crashesMs.filter((at) => history.nowMs - at <= policy.windowMs).length;
  if (recent > policy.restartsMax) {
    const times = `${recent} ${recent === 1 ? "crash" : "crashes"} within ${policy.windowMs / 1000} s`;
    const next = "Read the lines above for the cause; `weir models verify` checks the models' files";
    return { kind: "stop", exitCode: 1, why: `${died}; giving up after ${times}. ${next}` };
  }
  const afterMs = recent <= 1 ? 0 : Math.min(policy.backoffMsMax, BACKOFF_FIRST_MS * 2 ** (recent - 2));
  const when = afterMs === 0 ? "restarting" : `restarting in ${afterMs / 1000} s`;
  return { kind: "restart", afterMs, why: `${died}; ${when}, attempt ${recent}` };
}

function describe({ code, signal }: ChildEnd): string {
  if (signal === null) return `ended with code ${code}`;
  const hint = signal === "SIGKILL" ? " (often the system's answer to memory running out)" : "";
  return `died from ${signal}${hint}`;
}

/** Runs until the server is stopped or given up; resolves to the exit code. */
export async function supervise(options: SuperviseOptions): Promise<number> {
  const { clock, say } = options;
  const stop = catchSignals();
  const reloads = catchReloads(stop);
  let policy = FIRST_POLICY;
  let port: number | undefined;
  let crashesMs: readonly number[] = [];
  try {
    for (;;) {
      const child = start(options, port);
      const end = await watch(child, clock, stop, {
        reloads,
        ready: (message) => {
          policy = message.policy;
          port = message.port;
        },
        stopMsMax: () => policy.stopMsMax,
      });
      const nowMs = clock.now();
      crashesMs = [...crashesMs.filter((at) => nowMs - at <= policy.windowMs), nowMs];
      const history = { wasReady: port !== undefined, stopping: stop.asked(), crashesMs, nowMs };
      const verdict = judge(end, history, policy);
      if (verdict.why !== undefined) say(`weir: ${verdict.why}`);
      if (verdict.kind === "stop") return verdict.exitCode;
      await stop.pause(verdict.afterMs);
      if (stop.asked()) return 0;
    }
  } finally {
    reloads.release();
    stop.release();
  }
}

const start = ({ entry, args }: SuperviseOptions, port: number | undefined): ChildProcess =>
  spawn(
    process.execPath,
    [
      ...process.execArgv,
      entry,
      ...args,
      "--supervised",
      ...(port === undefined ? [] : ["--port", String(port)]),
    ],
    { stdio: ["ignore", "inherit", "inherit", "ipc"] },
  );

/** One Ctrl-C under npm arrives twice, from the terminal and from npm: a signal so soon after the first is the same one. */
const REPEAT_MS = 1_000;

interface Watching {
  readonly reloads: Reloads;
  readonly ready: (message: ReadyMessage) => void;
  readonly stopMsMax: () => number;
}

/** Resolves when the child has ended. The first signal asks it to stop, a second one, or time, kills it. */
function watch(
  child: ChildProcess,
  clock: Clock,
  stop: Stop,
  { reloads, ready, stopMsMax }: Watching,
): Promise<ChildEnd> {
  const startedMs = clock.now();
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    let askedMs = 0;
    const forget = stop.onAsked((times) => {
      if (times === 1) askedMs = clock.now();
      else if (clock.now() - askedMs < REPEAT_MS) return;
      child.kill(times === 1 ? "SIGTERM" : "SIGKILL");
      timer ??= setTimeout(() => child.kill("SIGKILL"), stopMsMax());
    });
    // Before it is ready the signal might end it, and what it reads then is new anyway; but perhaps it has read it already.
    let isReadyNow = false;
    let reloadLater = false;
    const forgetReloads = reloads.onAsked(() => {
      if (isReadyNow) child.kill("SIGHUP");
      else reloadLater = true;
    });
    const done = (): void => {
      forget();
      forgetReloads();
      clearTimeout(timer);
    };
    child.on("message", (message) => {
      if (!isReady(message)) return;
      isReadyNow = true;
      ready(message);
      if (reloadLater) child.kill("SIGHUP");
    });
    child.once("error", (error) => {
      done();
      reject(error);
    });
    child.once("exit", (code, signal) => {
      done();
      resolve({ code, signal, livedMs: clock.now() - startedMs });
    });
  });
}

const isReady = (message: unknown): message is ReadyMessage =>
  typeof message === "object" && message !== null && "weir" in message && message.weir === "ready";

interface Stop {
  asked(): boolean;
  /** As a signal would. */
  ask(): void;
  /** Calls back for each signal, at once for those that came before; returns how to stop that. */
  onAsked(listener: (times: number) => void): () => void;
  /** Ends early when a signal comes. */
  pause(ms: number): Promise<void>;
  release(): void;
}

function catchSignals(): Stop {
  let times = 0;
  const listeners = new Set<(times: number) => void>();
  const caught = (): void => {
    times += 1;
    for (const listener of listeners) listener(times);
  };
  for (const signal of POLITE) process.on(signal, caught);
  const onAsked = (listener: (times: number) => void): (() => void) => {
    listeners.add(listener);
    if (times > 0) listener(times);
    return () => listeners.delete(listener);
  };
  return {
    asked: () => times > 0,
    ask: caught,
    onAsked,
    pause: (ms) =>
      new Promise((resolve) => {
        const end = (): void => {
          clearTimeout(timer);
          forget();
          resolve();
        };
        const timer = setTimeout(end, ms);
        const forget = onAsked(() => setImmediate(end));
      }),
    release: () => {
      for (const signal of POLITE) process.off(signal, caught);
    },
  };
}

interface Reloads {
  /** Calls back for each SIGHUP that asks for a reload; returns how to stop that. */
  onAsked(listener: () => void): () => void;
  release(): void;
}

/** SIGHUP is a wish to reload, unless the terminal has been closed: then it stops as SIGTERM does. */
function catchReloads(stop: Stop): Reloads {
  const listeners = new Set<() => void>();
  const caught = onHangUp(watchTerminal(), {
    reload: () => {
      for (const listener of listeners) listener();
    },
    hungUp: () => {
      if (!stop.asked()) stop.ask();
    },
  });
  process.on("SIGHUP", caught);
  return {
    onAsked: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    release: () => process.off("SIGHUP", caught),
  };
}
