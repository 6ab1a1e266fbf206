/**
 * The platform packages of package-lock.json. A lock that was written behind a registry without other systems' packages
 * lacks their entries, and `npm ci` refuses such a lock everywhere. What an entry must say follows from its name.
 */

export interface LockEntry {
  readonly version?: string;
  readonly name?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly engines?: unknown;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** By folder: "" is the project, `node_modules/a/node_modules/b` a package below another. */
export type LockPackages = Readonly<Record<string, LockEntry>>;

export interface MissingPackage {
  /** Where its entry belongs. */
  readonly folder: string;
  readonly entry: LockEntry;
}

const SYSTEMS: Readonly<Record<string, string>> = {
  ...{ android: "android", darwin: "darwin", freebsd: "freebsd", linux: "linux", openharmony: "openharmony" },
  ...{ mac: "darwin", win: "win32", win32: "win32" },
};
const PROCESSORS = ["arm", "arm64", "ia32", "ppc64", "riscv64", "s390x", "x64"];
const EXACT = /^\d+\.\d+\.\d+$/;

/** Optional packages of an exact version that no entry stands for. */
export function missingPlatformPackages(packages: LockPackages): readonly MissingPackage[] {
  const missing = new Map<string, LockEntry>();
  for (const [parent, entry] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (!EXACT.test(version) || stands(packages, parent, name, version)) continue;
      const top = `node_modules/${name}`;
      const taken = packages[top] !== undefined || (missing.get(top)?.version ?? version) !== version;
      const nested = taken || parent.split("node_modules/").length > 2;
      missing.set(nested ? `${parent}/${top}` : top, platformEntry(name, version, entry.dev === true));
    }
  }
  return [...missing].map(([folder, entry]) => ({ folder, entry }));
}

/** Node's look-up: below the parent, then below each folder above it. An override (`name`) has a version of its own. */
function stands(packages: LockPackages, parent: string, name: string, version: string): boolean {
  for (let base = parent; ; base = base.slice(0, Math.max(0, base.lastIndexOf("/node_modules/")))) {
    const entry = packages[base === "" ? `node_modules/${name}` : `${base}/node_modules/${name}`];
    if (entry !== undefined && (entry.version === version || entry.name !== undefined)) return true;
    if (base === "") return false;
  }
}

function platformEntry(name: string, version: string, dev: boolean): LockEntry {
  const words = name.slice(name.indexOf("/") + 1).split("-");
  const system = words.map((word) => SYSTEMS[word]).find((found) => found !== undefined);
  const processor = words.find((word) => PROCESSORS.includes(word));
  if (system === undefined || processor === undefined) {
    throw new Error(
      `package-lock.json lacks ${name}@${version}, whose name does not say its system and processor`,
    );
  }
  const libc = words.some((word) => word.startsWith("musl"))
    ? ["musl"]
    : words.some((word) => word.startsWith("gnu"))
      ? ["glibc"]
      : undefined;
  return {
    version,
    cpu: [processor],
    ...(dev ? { dev } : {}),
    ...(libc === undefined ? {} : { libc }),
    optional: true,
    os: [system],
  };
}
