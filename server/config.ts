/**
 * The only reader of process.env and of weir.yaml. Flag > environment > file > default; what comes out is complete,
 * checked and frozen, so that nobody past this file asks again.
 */
import { readFile } from "node:fs/promises";
import { availableParallelism, homedir, totalmem } from "node:os";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { fileChoices, readSettingsFile } from "./config/file.ts";
import { finish } from "./config/finish.ts";
import {
  absolute,
  fromEnvironment,
  fromFile,
  fromFlags,
  oddVariables,
  parseLeaf,
  put,
  set,
  type Tree,
  unknownInFile,
  unknownSetting,
} from "./config/gather.ts";
import { LEAVES } from "./config/leaves.ts";
import { crossProblems, formatProblem, type Problem } from "./config/problems.ts";
import { SettingsSchema } from "./config/schema.ts";
import type { Config, ConfigInput, Environment, Inspection, Machine, Origin } from "./config/types.ts";

export { formatProblem, type Problem } from "./config/problems.ts";
export type {
  Config,
  ConfigInput,
  Environment,
  FlagSetting,
  Inspection,
  Origin,
} from "./config/types.ts";

/** Settings that name a file: relative to the file that they stand in. */
const FILES: ReadonlySet<string> = new Set(["keys_file", "routing.policy_file"]);

/** The configuration is wrong: the message lists every problem, one a line. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly Problem[];
  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join("\n"));
    this.problems = problems;
  }
}

export function loadConfig(input: ConfigInput = {}): Config {
  const { config, problems } = inspectConfig(input);
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** Reads everything and reports every problem at once, rather than the first. */
export function inspectConfig(input: ConfigInput = {}): Inspection {
  const env = input.env ?? process.env;
  const cwd = input.cwd ?? process.cwd();
  const home = homeFolder(env, cwd);
  const named = input.file ?? set(env["WEIR_CONFIG"]);
  const file = readSettingsFile(fileChoices(named, cwd, home));

  const found = [...fromFile(file), ...fromEnvironment(env), ...fromFlags(input.flags ?? [])];
  const problems: Problem[] = [...(file?.problems ?? []), ...unknownInFile(file)];
  const origins = new Map<string, Origin>(LEAVES.map((leaf) => [leaf.path, { kind: "default", name: "" }]));
  const tree: Tree = {};
  const broken = new Set<string>();
  for (const { leaf, path, value, origin } of found) {
    const where = origin.kind === "file" ? origin.name : `${origin.kind} ${origin.name}`;
    if (leaf === undefined) {
      problems.push({ path, where, message: unknownSetting(path) });
      continue;
    }
    const result = parseLeaf(leaf, value, origin.kind !== "file");
    if (result.ok) {
      put(
        tree,
        leaf.path,
        FILES.has(leaf.path) ? absolute(String(result.value), origin, file, cwd) : result.value,
      );
      origins.set(leaf.path, origin);
    } else {
      for (const { below, message } of result.problems) {
        const at = [origin.kind === "file" ? path : leaf.path, ...below].join(".");
        problems.push({
          path: at,
          where: origin.kind === "file" ? (file?.where(at) ?? where) : where,
          message,
        });
      }
      broken.add(leaf.path);
    }
  }
  const settings = SettingsSchema.parse(tree);
  const whereOf = (path: string): string | undefined => origins.get(path)?.name || undefined;
  problems.push(...crossProblems(settings, broken, whereOf));
  const config = finish(settings, { env, home, file: file?.path, machine: input.machine ?? thisMachine() });
  problems.sort((a, b) => lineOf(a) - lineOf(b));
  return { config, settings, origins, problems, warnings: oddVariables(env) };
}

/** A secret of weir.yaml is a few hundred characters; a longer file is another file. */
const SECRET_BYTES_MAX = 64 * 1024;

/**
 * What a reference in the configuration stands for, read anew each time: `env:NAME`, or `file:PATH` relative to the
 * configuration's file. Rejects, naming the reference, where there is none.
 */
export async function readSecret(reference: string, config: Pick<Config, "file">): Promise<string> {
  const [kind, rest] = [
    reference.slice(0, reference.indexOf(":")),
    reference.slice(reference.indexOf(":") + 1),
  ];
  const text = kind === "env" ? (process.env[rest] ?? "") : await readSecretFile(rest, config);
  if (text.trim() !== "") return text.trim();
  throw new Error(kind === "env" ? `the variable ${rest} is not set` : `the file ${rest} is empty`);
}

async function readSecretFile(path: string, { file }: Pick<Config, "file">): Promise<string> {
  const bytes = await readFile(resolve(file === undefined ? "." : dirname(file), path));
  if (bytes.byteLength > SECRET_BYTES_MAX)
    throw new Error(`the file ${path} has ${bytes.byteLength} bytes, which no secret has`);
  return bytes.toString("utf8");
}

/** WEIR_DEBUG asks for stacks; readable also where the rest of the configuration is broken. */
export const debugWanted = (): boolean => !["", "0", "false"].includes(process.env["WEIR_DEBUG"] ?? "");

/** Problems of the file come in its order, those of other places behind them. */
const lineOf = ({ where }: Problem): number => Number(/:(\d+)$/.exec(where)?.[1] ?? Number.MAX_SAFE_INTEGER);

function homeFolder(env: Environment, cwd: string): string {
  const named = set(env["WEIR_HOME"]);
  if (named !== undefined) return resolve(cwd, named);
  const data = set(env["XDG_DATA_HOME"]);
  // The XDG specification: a relative XDG_DATA_HOME is invalid and must be ignored.
  return join(data !== undefined && isAbsolute(data) ? data : join(homedir(), ".local", "share"), "weir");
}

function thisMachine(): Machine {
  const limit = process.constrainedMemory();
  const total = totalmem();
  return { cores: availableParallelism(), memoryBytes: limit > 0 && limit < total ? limit : total };
}
