/** `weir serve` inside the engine process: configuration, composition, listening, and a bounded way out. */
import { flushCompileCache } from "node:module";
import type { AddressInfo } from "node:net";
import type { Clock } from "../../engine/core/clock.ts";
import type { Composed } from "../compose.ts";
import { isLoopback, keySources } from "../config/exposure.ts";
import { type Config, ConfigError, formatProblem, inspectConfig } from "../config.ts";
import { onHangUp, watchTerminal } from "../hang-up.ts";
import { ownCommand } from "../own-command.ts";
import type { ReadyMessage } from "../supervisor.ts";
import { CommandFailure, type ExitCode } from "./failure.ts";
import { type ConfigFlags, flagSettings } from "./settings.ts";
import { startProblems } from "./start-problems.ts";
import type { Terminal } from "./terminal.ts";

/** A public model that fits a small machine and is clearly stronger than the one that comes with weir. */
const STRONGER = "Qwen/Qwen2.5-0.5B-Instruct";

/** Beyond the time for draining, before the process ends although something is still open. */
const STOP_GRACE_MS = 5000;

export interface ServeOptions {
  readonly flags: ConfigFlags;
  /** True in the child of a supervisor: it is told when the server is ready, and the child does not outlive it. */
  readonly supervised: boolean;
  readonly clock: Clock;
  readonly terminal: Terminal;
  readonly version: string;
}

/** Runs until SIGTERM or SIGINT, then drains; resolves to the exit code. */
export async function serve({
  flags,
  supervised,
  clock,
  terminal,
  version,
}: ServeOptions): Promise<ExitCode> {
  const startedMs = clock.now();
  const reloads = new LateReloads();
  const stopped = untilStopped(supervised, () => reloads.ask());
  const config = await startConfig(flags, terminal);
  const { compose } = await import("../compose.ts");
  const composed = await compose(config, { clock, version });
  reloads.answerWith(() => composed.reload());
  const { host, port } = config.server;
  try {
    await composed.app.listen({ host, port });
  } catch (error) {
    await composed.close();
    throw listenFailure(error, config.server);
  }
  const bound = (composed.app.server.address() as AddressInfo).port;
  try {
    const outcome = await Promise.race([composed.ready.then(() => "ready"), stopped.then(() => "stopped")]);
    if (outcome === "ready") {
      const seconds = (clock.now() - startedMs) / 1000;
      announce(config, bound, composed.defaultModel, terminal, { version, seconds });
      if (supervised) tellReady(config, bound);
      // A crash leaves no time for it, and the next start is when it counts.
      flushCompileCache();
    }
  } catch (error) {
    await composed.close();
    throw error;
  }

  await stopped;
  const overtime = setTimeout(() => {
    terminal.err(
      `weir: something is still open ${STOP_GRACE_MS} ms after the time for draining; ending now.`,
    );
    process.exit(1);
  }, config.server.drainMs + STOP_GRACE_MS);
  await composed.close();
  clearTimeout(overtime);
  return 0;
}

async function startConfig(flags: ConfigFlags, terminal: Terminal): Promise<Config> {
  const found = inspectConfig({ file: flags.config, flags: flagSettings(flags) });
  const { config, problems, warnings } = found;
  for (const warning of warnings) terminal.err(`weir: warning: ${formatProblem(warning)}`);
  const all = problems.length > 0 ? problems : await startProblems(found);
  if (all.length > 0) throw new ConfigError(all);
  return config;
}

/** A wish to reload may come before there is anything to reload; what was read until then may be old. */
class LateReloads {
  #asked = false;
  #reload: (() => void) | undefined;

  ask(): void {
    this.#asked = true;
    this.#reload?.();
  }

  answerWith(reload: () => void): void {
    this.#reload = reload;
    if (this.#asked) reload();
  }
}

/**
 * Resolves at the first SIGTERM or SIGINT, or when the supervisor or the terminal is gone. Under a supervisor more signals change nothing
 * (Ctrl-C reaches both processes, and the supervisor decides when patience ends); alone, a second one ends at once.
 */
function untilStopped(supervised: boolean, reload: () => void): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    const stop = (): void => {
      if (asked && !supervised) process.exit(1);
      asked = true;
      resolve();
    };
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, stop);
    // The supervisor has the terminal, and says by another signal when it is gone.
    const hungUp = (): void => {
      if (!asked) stop();
    };
    process.on("SIGHUP", supervised ? reload : onHangUp(watchTerminal(), { reload, hungUp }));
    if (supervised) process.on("disconnect", stop);
  });
}

function tellReady({ supervisor, server }: Config, port: number): void {
  const message: ReadyMessage = {
    weir: "ready",
    port,
    policy: {
      restartsMax: supervisor.restartsMax,
      windowMs: supervisor.windowMs,
      backoffMsMax: supervisor.backoffMsMax,
      stopMsMax: server.drainMs + 2 * STOP_GRACE_MS,
    },
  };
  process.send?.(message);
}

function listenFailure(error: unknown, { host, port }: Config["server"]): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  const failed = (why: string): CommandFailure => new CommandFailure(1, why, error);
  switch (code) {
    case "EADDRINUSE":
      return failed(
        `Port ${port} on ${host} is in use. Stop the other program, or choose another: PORT=8081.`,
      );
    case "EACCES":
      return failed(`This user may not listen on port ${port}. Choose one above 1023, such as PORT=8080.`);
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return failed(`This machine has no address ${host}. Set HOST to one of its own, such as 127.0.0.1.`);
    default:
      return error;
  }
}

interface Announcement {
  readonly version: string;
  readonly seconds: number;
}

function announce(
  config: Config,
  port: number,
  model: Composed["defaultModel"],
  terminal: Terminal,
  { version, seconds }: Announcement,
): void {
  const { host } = config.server;
  const anyHost = host === "0.0.0.0" || host === "::";
  const name = anyHost ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host;
  const url = `http://${name}:${port}`;
  const sources = keySources(config);
  const key = sources.length === 0 ? "" : ` -H "authorization: Bearer $WEIR_API_KEY"`;
  const question = "Annual leave is 25 days a year. How many days of leave do I get?";
  const [path, ask] =
    model?.hasChatTemplate === false
      ? ["completions", { prompt: "Once upon a time" }]
      : ["chat/completions", { temperature: 0, messages: [{ role: "user", content: question }] }];
  const body = JSON.stringify({ model: model?.name ?? "auto", ...ask });
  const others = Object.keys(config.backends);
  const serves = [...(model === undefined ? [] : [model.name]), ...others].join(", ");
  terminal.out(`weir ${version} serves ${serves} on ${url} (ready after ${seconds.toFixed(1)} s)`);
  terminal.out(`Try:  curl -s ${url}/v1/${path} -H "content-type: application/json"${key} -d '${body}'`);
  if (config.models.default === undefined && config.models.resident)
    terminal.out(`For a stronger model:  ${ownCommand()} models pull ${STRONGER}`);
  if (!isLoopback(host))
    terminal.out(`Other machines can reach it; keys are read from ${sources.join(" and ")}.`);
}
