/** `weir models import | pull | list | show | verify | rm`. */
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openHubTransport, operatorCommand } from "../../engine/cloud/egress.ts";
import type { Clock } from "../../engine/core/clock.ts";
import { type Catalog, notInstalled, openCatalog } from "../../models/catalog.ts";
import { openHub, parseReference, pullFromHub } from "../../models/hub.ts";
import { checkInstallable, type InstallRequest, installModel, uninstallModel } from "../../models/install.ts";
import type { Manifest } from "../../models/manifest.ts";
import { openImport } from "../../models/open.ts";
import { sweep } from "../../models/staging.ts";
import { type Config, loadConfig } from "../config.ts";
import { adoptTried, compileCalibrated } from "../model-tools.ts";
import { builtInFolders, RESIDENT_NAME } from "./built-in.ts";
import { CommandFailure, type ExitCode } from "./failure.ts";
import { listing, shownModel } from "./model-view.ts";
import { createProgress } from "./progress.ts";
import { type ConfigFlags, flagSettings } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

export interface ImportFlags extends ConfigFlags {
  readonly name?: string;
  readonly quant?: "q4" | "q8" | "f32";
  readonly block?: "32" | "64" | "128";
  readonly kv: "auto" | "f32" | "int8";
  readonly force?: boolean;
  /** Of a pull. */
  readonly file?: string;
  readonly parts?: string;
}

export interface CommandPorts {
  readonly clock: Clock;
  readonly terminal: Terminal;
}

interface Models {
  readonly config: Config;
  readonly catalog: Catalog;
}

/** Every command begins by tidying what killed ones left. */
function openModels(
  flags: ConfigFlags,
  clock: Clock,
  more: readonly (readonly [string, string, string])[] = [],
): Models {
  const further = more.map(([path, text, flag]) => ({ path, text, flag }));
  const config = loadConfig({ file: flags.config, flags: [...flagSettings(flags), ...further] });
  sweep(config.modelsFolder, clock);
  const builtIn = config.models.resident ? builtInFolders(config.home) : [];
  return { config, catalog: openCatalog({ folder: config.modelsFolder, builtIn }) };
}

export async function importModel(
  file: string,
  flags: ImportFlags & { readonly name: string },
  { clock, terminal }: CommandPorts,
): Promise<ExitCode> {
  const models = openModels(flags, clock);
  const request = { ...requestOf(flags, flags.name), path: resolve(file) };
  const manifest = await install(request, models, { clock, terminal });
  announce(manifest, terminal);
  return 0;
}

export async function pullModel(
  reference: string,
  flags: ImportFlags,
  { clock, terminal }: CommandPorts,
): Promise<ExitCode> {
  const parts = flags.parts === undefined ? [] : [["hub.parts_max", flags.parts, "--parts"] as const];
  const models = openModels(flags, clock, parts);
  const { hub, hubToken, proxy, downloadsFolder } = models.config;
  const wanted = parseReference(reference);
  const request = requestOf(flags, flags.name ?? wanted.repository);
  // Before gigabytes are fetched for nothing.
  checkName(request);
  checkInstallable(request, models.catalog);

  const transport = openHubTransport(operatorCommand(), {
    idleTimeoutMs: hub.idleTimeoutMs,
    connectionsMax: hub.partsMax,
    proxy: {
      ...(proxy.http === undefined ? {} : { http: proxy.http.reveal() }),
      ...(proxy.https === undefined ? {} : { https: proxy.https.reveal() }),
      ...(proxy.except === undefined ? {} : { except: proxy.except }),
    },
  });
  const door = openHub(hub.endpoint, transport, {
    token: hubToken === undefined ? undefined : () => hubToken.reveal(),
  });
  const stop = new AbortController();
  const interrupted = (): void => stop.abort();
  process.once("SIGINT", interrupted);
  const progress = createProgress(terminal);
  try {
    using pulled = await pullFromHub(door, wanted, {
      downloadsFolder,
      file: flags.file,
      downloadBytesMax: hub.downloadBytesMax,
      partsMax: hub.partsMax,
      partBytes: hub.partBytes,
      attemptsMax: hub.attemptsMax,
      clock,
      signal: stop.signal,
      pause: (ms, signal) => sleep(ms, undefined, { signal }),
      onProgress: progress.update,
    });
    progress.stop();
    process.off("SIGINT", interrupted);
    const licence = pulled.licence === undefined ? {} : { licence: pulled.licence };
    const source = { path: pulled.path, origin: pulled.origin, ...licence };
    const manifest = await install({ ...request, ...source }, models, { clock, terminal });
    pulled.discard();
    announce(manifest, terminal);
    return 0;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    throw new CommandFailure(1, "The pull was interrupted. The same command goes on from there.", error);
  } finally {
    progress.stop();
    process.off("SIGINT", interrupted);
    await door.close();
  }
}

export function listModels(
  flags: ConfigFlags & { readonly json?: boolean },
  { clock, terminal }: CommandPorts,
): ExitCode {
  const { catalog } = openModels(flags, clock);
  for (const line of listing(catalog.list(), flags.json === true)) terminal.out(line);
  return 0;
}

export function showModel(
  name: string,
  flags: ConfigFlags & { readonly json?: boolean },
  { clock, terminal }: CommandPorts,
): ExitCode {
  const entry = openModels(flags, clock).catalog.find(name);
  if (entry === undefined) throw notInstalled(name);
  if (entry.state === "broken")
    throw new CommandFailure(1, `${name} in ${entry.folder} is damaged: ${entry.why}.`);
  for (const line of shownModel(entry, flags.json === true)) terminal.out(line);
  return 0;
}

/** All models where none is named. */
export async function verifyModels(
  names: readonly string[],
  flags: ConfigFlags,
  { clock, terminal }: CommandPorts,
): Promise<ExitCode> {
  const { catalog } = openModels(flags, clock);
  const chosen = names.length > 0 ? names : catalog.list().map((entry) => entry.name);
  let damaged = 0;
  for (const name of chosen) {
    const progress = createProgress(terminal);
    const problems = await catalog.verify(name, progress.update);
    progress.stop();
    if (problems.length === 0) terminal.out(`${name}: every file is as it was installed.`);
    else damaged += 1;
    for (const { file, problem } of problems) terminal.out(`${name}: ${file}: ${problem}`);
  }
  if (damaged === 0) return 0;
  const what = damaged === 1 ? "1 model is" : `${damaged} models are`;
  throw new CommandFailure(
    1,
    `${what} damaged. Install again with --force, or remove with \`weir models rm\`.`,
  );
}

export function removeModel(name: string, flags: ConfigFlags, { clock, terminal }: CommandPorts): ExitCode {
  const { catalog, config } = openModels(flags, clock);
  uninstallModel(name, { catalog, modelsFolder: config.modelsFolder, clock });
  terminal.out(`${name} is removed.`);
  return 0;
}

const requestOf = (flags: ImportFlags, name: string): Omit<InstallRequest, "path"> => ({
  name,
  quant: flags.quant,
  block: flags.block === undefined ? undefined : (Number(flags.block) as 32 | 64 | 128),
  kv: flags.kv,
  existing: flags.force === true ? "replace" : "keep",
});

/** The built-in model may not have been compiled yet; its name is taken all the same. */
function checkName({ name }: Pick<InstallRequest, "name">): void {
  if (name !== RESIDENT_NAME) return;
  throw new CommandFailure(
    1,
    `${name} is the name of the model that comes with weir. Choose another with --name.`,
  );
}

async function install(
  request: InstallRequest,
  { config, catalog }: Models,
  { clock, terminal }: CommandPorts,
): Promise<Manifest> {
  checkName(request);
  const progress = createProgress(terminal);
  try {
    return await installModel(request, {
      catalog,
      modelsFolder: config.modelsFolder,
      clock,
      open: openImport,
      compile: (source, options) => compileCalibrated(source, options, config.engine.threads),
      adopt: (source, options) => adoptTried(source, options, config.engine.threads),
      onProgress: progress.update,
    });
  } finally {
    progress.stop();
  }
}

function announce(manifest: Manifest, terminal: Terminal): void {
  const { precision, licence, name } = manifest;
  const block = precision.block === 0 ? "" : ` block ${precision.block}`;
  const kept = precision.lossless ? ", weights kept without loss" : "";
  terminal.out(
    `${name} is installed: ${manifest.architecture}, ${precision.weights}${block}${kept}, ${precision.kv} cache.`,
  );
  if (precision.requantised !== undefined) terminal.out(requantisedSentence(precision.requantised));
  if (licence !== undefined) terminal.out(`Its licence: ${licence}`);
  terminal.out(
    `It answers requests with "model": ${JSON.stringify(name)}; a running server finds it by itself.`,
  );
}

type Requantised = NonNullable<Manifest["precision"]["requantised"]>;

/** What became of weights that could not be kept as they are, how far off they are, and what to do instead. */
function requantisedSentence(changes: Requantised): string {
  const counts = changes.map(({ tensors, type }) => `${tensors} ${type}`).join(" and ");
  const many = changes.length > 1 || changes[0]?.tensors !== 1;
  const [{ weights, block } = { weights: "q8", block: 32 }] = changes;
  const percent = 100 * Math.max(...changes.map(({ error }) => error));
  const smaller =
    weights === "q8" ? ", `--quant q4` takes about half the memory in steps 16 times as wide" : "";
  return (
    `Its ${counts} ${many ? "tensors" : "tensor"} became ${weights} block ${block}, which rounds their values once more ` +
    `(by ${percent.toPrecision(2)} %, root mean square); \`--quant f32\` keeps them exactly${smaller}.`
  );
}
