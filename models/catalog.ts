/** What is installed: one folder a model, each described by its weir.json. A damaged one is listed with the reason. */
import { createHash } from "node:crypto";
import { createReadStream, existsSync, readdirSync, readFileSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { MANIFEST_NAME, Manifest } from "./manifest.ts";
import { ModelError } from "./model-error.ts";
import { folderOfName, isModelName, nameOfFolder } from "./model-name.ts";
import { replacedFolder, stagedFolders } from "./staging.ts";

const MANIFEST_BYTES_MAX = 4 * 1024 * 1024;

export type CatalogEntry = {
  readonly name: string;
  /** Absolute. */
  readonly folder: string;
  /** Built-in models come with weir and cannot be removed. */
  readonly origin: "built-in" | "installed";
} & (
  | { readonly state: "usable"; readonly manifest: Manifest /** On disk. */; readonly bytes: number }
  /** `why` says what is wrong and is fit for a user. */
  | { readonly state: "broken"; readonly why: string }
);

export type UsableModel = Extract<CatalogEntry, { state: "usable" }>;

export interface FileProblem {
  readonly file: string;
  readonly problem: string;
}

export interface Catalog {
  /** Built-in models first, then installed ones by name. Reads the folders each time; unchanged manifests are kept. */
  list(): readonly CatalogEntry[];
  /** Undefined where there is none of this name; a name that cannot be one is not found either. */
  find(name: string): CatalogEntry | undefined;
  /** Compares each file's bytes with the manifest's digest; an empty list means that all is well. */
  verify(
    name: string,
    onProgress: (doneBytes: number, totalBytes: number, file: string) => void,
  ): Promise<readonly FileProblem[]>;
}

export interface CatalogOptions {
  /** `$WEIR_HOME/models`; need not exist. */
  readonly folder: string;
  /** Folders of models that come with weir, in the order in which they are listed. */
  readonly builtIn: readonly string[];
}

export function openCatalog({ folder, builtIn }: CatalogOptions): Catalog {
  const manifests = new ManifestCache();
  const builtInEntries = (): readonly CatalogEntry[] =>
    builtIn
      .map((path) => readModelFolder(path, undefined, manifests))
      .map((entry) => ({ ...entry, origin: "built-in" }));

  const find = (name: string): CatalogEntry | undefined => {
    const own = builtInEntries().find((entry) => entry.name === name);
    if (own !== undefined) return own;
    if (!isModelName(name)) return undefined;
    const path = placeOf(folder, name);
    return path === undefined ? undefined : readModelFolder(path, name, manifests);
  };

  return {
    list: () => {
      const own = builtInEntries();
      const taken = new Set(own.map((entry) => entry.name));
      const installed = installedNames(folder)
        .filter((name) => !taken.has(name))
        .flatMap((name) => {
          const path = placeOf(folder, name);
          return path === undefined ? [] : [readModelFolder(path, name, manifests)];
        });
      return [...own, ...installed];
    },
    find,
    verify: async (name, onProgress) => {
      const entry = find(name);
      if (entry === undefined) throw notInstalled(name);
      if (entry.state === "broken") return [{ file: MANIFEST_NAME, problem: entry.why }];
      return verifyFiles(entry, onProgress);
    },
  };
}

export const notInstalled = (name: string): ModelError =>
  new ModelError(
    `There is no model ${JSON.stringify(name.slice(0, 128))}; \`weir models list\` shows what there is.`,
  );

/** An installed model's folder: at each instant of a replacement either the old or the new one is found whole. */
function placeOf(folder: string, name: string): string | undefined {
  const place = join(folder, folderOfName(name));
  // Its place is looked at again last: the replacement may have ended between the first two looks.
  return [place, replacedFolder(folder, name), place].find((path) => existsSync(path));
}

/**
 * Sorted by name; those that are being changed are among them, whether or not anything is in their place. Other things in
 * the folder are passed over.
 */
function installedNames(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  // First those that are being changed: one that leaves its place after this look is known already.
  const changing = stagedFolders(folder);
  const there = readdirSync(folder, { withFileTypes: true })
    .filter((item) => item.isDirectory() || item.isSymbolicLink())
    .map((item) => item.name);
  return [...new Set([...changing, ...there])]
    .flatMap((item) => nameOfFolder(item) ?? [])
    .sort((a, b) => (a < b ? -1 : 1));
}

/** Manifests that were read before, as long as their file looks the same. */
export class ManifestCache {
  readonly #known = new Map<string, { readonly mark: string; readonly manifest: Manifest }>();

  read(file: string): Manifest {
    const stats = statSync(file);
    const mark = `${stats.ino}:${stats.size}:${stats.mtimeMs}`;
    const known = this.#known.get(file);
    if (known?.mark === mark) return known.manifest;
    const manifest = parseManifest(file, stats);
    this.#known.set(file, { mark, manifest });
    return manifest;
  }
}

/** One model's folder. `name`: what its place says it is called; undefined takes the manifest's word. */
export function readModelFolder(
  folder: string,
  name: string | undefined,
  manifests: ManifestCache = new ManifestCache(),
): CatalogEntry {
  const called = name ?? folder;
  try {
    const manifest = manifests.read(join(folder, MANIFEST_NAME));
    if (name !== undefined && manifest.name !== name) {
      throw new ModelError(`${MANIFEST_NAME} is of the model ${manifest.name}`);
    }
    for (const file of manifest.files) checkSize(folder, file);
    const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
    return { name: manifest.name, folder, origin: "installed", state: "usable", manifest, bytes };
  } catch (error) {
    return { name: called, folder, origin: "installed", state: "broken", why: reason(error) };
  }
}

function parseManifest(file: string, stats: Stats): Manifest {
  if (stats.size > MANIFEST_BYTES_MAX) {
    throw new ModelError(`${MANIFEST_NAME} has ${stats.size} bytes, more than ${MANIFEST_BYTES_MAX}`);
  }
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new ModelError(`${MANIFEST_NAME} is not JSON`, error);
  }
  const parsed = Manifest.safeParse(content);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue === undefined || issue.path.length === 0 ? "" : `${issue.path.join(".")}: `;
  throw new ModelError(`${MANIFEST_NAME}: ${field}${issue?.message ?? "not valid"}`);
}

function checkSize(folder: string, file: Manifest["files"][number]): void {
  const stats = statSync(join(folder, file.name), { throwIfNoEntry: false });
  if (stats === undefined) throw new ModelError(`${file.name} is missing`);
  if (stats.size !== file.bytes) {
    throw new ModelError(`${file.name} has ${stats.size} bytes instead of ${file.bytes}`);
  }
}

function reason(error: unknown): string {
  if ((error as NodeJS.ErrnoException).code === "ENOENT") return `${MANIFEST_NAME} is missing`;
  return (error as Error).message;
}

async function verifyFiles(
  { folder, manifest, bytes }: UsableModel,
  onProgress: (doneBytes: number, totalBytes: number, file: string) => void,
): Promise<readonly FileProblem[]> {
  const problems: FileProblem[] = [];
  let done = 0;
  for (const file of manifest.files) {
    const hash = createHash("sha256");
    try {
      for await (const part of createReadStream(join(folder, file.name), { highWaterMark: 1 << 20 })) {
        hash.update(part as Uint8Array);
        done += (part as Uint8Array).byteLength;
        onProgress(Math.min(done, bytes), bytes, file.name);
      }
    } catch (error) {
      problems.push({ file: file.name, problem: (error as Error).message });
      continue;
    }
    const found = hash.digest("hex");
    if (found !== file.sha256) {
      problems.push({ file: file.name, problem: `its sha256 is ${found}, installed was ${file.sha256}` });
    }
  }
  return problems;
}
