/**
 * The counters of Intel's and AMD's processors (RAPL), as Linux shows them. Read are packages and the memory beside them:
 * cores and graphics are parts of a package, and `psys` holds the packages and whatever else the maker of the board wired to
 * it, so that adding any of these would count twice.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { type MeasuredPart, MeasuredSource, why } from "./measured.ts";
import type { EnergySource, Found } from "./source.ts";

const POWERCAP = "/sys/class/powercap";

/** Generous: twice the largest package that is sold. */
const PACKAGE_WATTS_MAX = 1000;
const MEMORY_WATTS_MAX = 500;
/** The hardware counts about once a millisecond; Linux may have to wake a core to look. */
const STEP_MS = 20;
const STILL_MS_MAX = 1000;
/** No maker promises one. Packages were found close to what a wall meter says, memory off by a constant part. */
const PACKAGE_ERROR = 0.1;
const MEMORY_ERROR = 0.2;
/** Two looks at one counter, one right after the other, are closer than this. */
const SAME_UJ = 1_000_000;
const DIGITS_MAX = 32;

interface Zone {
  /** Such as `package-0` or `package-0 dram`. */
  readonly name: string;
  readonly memory: boolean;
  readonly folder: string;
}

interface OpenZone extends Zone {
  readonly fd: number;
  readonly range: number | undefined;
}

/** `folder` is another one in tests. Its files stay open: looking again costs some microseconds. */
export function openRapl(folder: string = POWERCAP): Found<EnergySource> {
  const opened: OpenZone[] = [];
  const close = (): void => {
    for (const { fd } of opened.splice(0)) closeSync(fd);
  };
  try {
    const zones = zonesIn(folder);
    if (zones.length === 0)
      return unavailable(`${folder} has no package of a processor: a virtual machine, or not Intel or AMD`);
    for (const zone of zones)
      opened.push({
        ...zone,
        fd: openSync(join(zone.folder, "energy_uj"), "r"),
        range: rangeOf(zone.folder),
      });
    const [single, notes] = withoutDoubles(opened);
    return { kind: "open", source: new MeasuredSource("rapl", single.map(partOf), close), notes };
  } catch (failure) {
    close();
    return unavailable(explained(failure, folder));
  }
}

const unavailable = (reason: string): Found<EnergySource> => ({ kind: "unavailable", reason });

function explained(failure: unknown, folder: string): string {
  const code = why(failure);
  if (code === "ENOENT")
    return `there is no ${folder} with counters: a virtual machine or container, or not Linux on Intel or AMD`;
  if (code === "EACCES" || code === "EPERM")
    return `${code}: only root may read the counters; as root: chmod a+r ${folder}/intel-rapl:*/energy_uj`;
  return `the counters in ${folder} cannot be read (${code})`;
}

/** Zones of other control types, such as `intel-rapl-mmio:0`, are second doors to the same counters. */
function zonesIn(folder: string): readonly Zone[] {
  const names = readdirSync(folder)
    .filter((entry) => /^intel-rapl:\d+(:\d+)?$/.test(entry))
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const nameOf = (entry: string): string => readFileSync(join(folder, entry, "name"), "utf8").trim();
  const packages = names.filter((entry) => entry.split(":").length === 2 && /^package/.test(nameOf(entry)));
  return packages.flatMap((entry) => {
    const name = nameOf(entry);
    const memory = names
      .filter((child) => child.startsWith(`${entry}:`) && nameOf(child) === "dram")
      .map((child) => ({ name: `${name} dram`, memory: true, folder: join(folder, child) }));
    return [{ name, memory: false, folder: join(folder, entry) }, ...memory];
  });
}

function rangeOf(folder: string): number | undefined {
  try {
    const range = Number(readFileSync(join(folder, "max_energy_range_uj"), "utf8").trim());
    return range > 0 ? range : undefined;
  } catch (failure) {
    if (why(failure) === "ENOENT") return undefined;
    throw failure;
  }
}

/**
 * Some kernels list one counter once for each die of a package. The same package with the same count is the same counter;
 * with another count it is another. Memory that shows 0 is not wired up.
 */
function withoutDoubles(zones: readonly OpenZone[]): readonly [readonly OpenZone[], readonly string[]] {
  const single: (OpenZone & { readonly shown: number | undefined })[] = [];
  const notes: string[] = [];
  for (const zone of zones) {
    const shown = show(zone.fd);
    const double = single.find(
      (other) =>
        other.memory === zone.memory &&
        socket(other.name) === socket(zone.name) &&
        Math.abs((other.shown ?? Number.NaN) - (shown ?? Number.NaN)) < SAME_UJ,
    );
    if (double !== undefined) notes.push(`${zone.name} is listed twice and counted once`);
    else if (zone.memory && shown === 0) notes.push(`${zone.name} shows 0 and is left out`);
    else single.push({ ...zone, shown });
  }
  return [single, notes];
}

/** `package-1-die-0` is of the package 1. */
const socket = (name: string): string => /^package-\d+/.exec(name)?.[0] ?? name;

const partOf = ({ name, memory, fd, range }: OpenZone): MeasuredPart => ({
  name: `rapl ${name}`,
  facts: {
    range,
    perMsMax: (memory ? MEMORY_WATTS_MAX : PACKAGE_WATTS_MAX) * 1000,
    stepMs: STEP_MS,
    stillMsMax: STILL_MS_MAX,
  },
  ujPerCount: 1,
  error: memory ? MEMORY_ERROR : PACKAGE_ERROR,
  show: () => show(fd),
});

const digits = Buffer.alloc(DIGITS_MAX);

/** Digits and a line feed; undefined for anything else. */
function show(fd: number): number | undefined {
  const length = readSync(fd, digits, 0, DIGITS_MAX, 0);
  let value = 0;
  let at = 0;
  for (; at < length; at += 1) {
    const digit = (digits[at] as number) - 0x30;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  const ended = at === length || digits[at] === 0x0a;
  return at > 0 && ended ? value : undefined;
}
