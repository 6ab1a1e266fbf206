/**
 * The energy counters of NVIDIA's GPUs, by NVML, the driver's own library: a counter of each board, in millijoules since the
 * driver was loaded, which never wraps. No process is started, no permission needed.
 */
import koffi from "koffi";
import { MeasuredSource } from "./measured.ts";
import type { EnergySource, Found } from "./source.ts";

const NVML_LIBRARY = "libnvidia-ml.so.1";

const SUCCESS = 0;
const UUID_BYTES = 96;
/** Of one board; the largest that is sold takes 1.4 kW. */
const WATTS_MAX = 3000;
/** The counter moves every 20 to 100 ms; some drivers hand in a second at once. */
const STEP_MS = 1000;
const STILL_MS_MAX = 5000;
/** What NVIDIA says of its power readings. */
const ERROR = 0.05;
/** Where the driver names no limit. */
const LIMIT_WATTS = 400;

export interface Gpu {
  /** Such as `GPU-8a7e...`: it stays the same when cards are added. */
  readonly uuid: string;
  /** For people: `gpu 0`. */
  readonly name: string;
  readonly limitWatts: number;
  readonly counter: Found<EnergySource>;
}

export interface Gpus {
  readonly list: readonly Gpu[];
  close(): void;
}

type Handle = unknown;
type Status = number;

interface Nvml {
  readonly init: () => Status;
  readonly shutdown: () => Status;
  readonly error: (status: Status) => string | null;
  readonly count: (count: Uint32Array) => Status;
  readonly handle: (index: number, handle: Handle[]) => Status;
  readonly uuid: (handle: Handle, text: Buffer, bytes: number) => Status;
  readonly energy: (handle: Handle, millijoules: BigUint64Array) => Status;
  readonly limit: (handle: Handle, milliwatts: Uint32Array) => Status;
}

/** Kept for the life of the process: koffi unloads a library whose handle is collected, and its functions with it. */
const loaded = new Map<string, Nvml>();

function load(path: string): Nvml {
  const before = loaded.get(path);
  if (before !== undefined) return before;
  const library = koffi.load(path);
  const nvml: Nvml = {
    init: library.func("nvmlInit_v2", "int", []),
    shutdown: library.func("nvmlShutdown", "int", []),
    error: library.func("nvmlErrorString", "const char *", ["int"]),
    count: library.func("nvmlDeviceGetCount_v2", "int", ["uint32_t *"]),
    handle: library.func("nvmlDeviceGetHandleByIndex_v2", "int", ["uint32_t", "_Out_ void **"]),
    uuid: library.func("nvmlDeviceGetUUID", "int", ["void *", "uint8_t *", "uint32_t"]),
    energy: library.func("nvmlDeviceGetTotalEnergyConsumption", "int", ["void *", "uint64_t *"]),
    limit: library.func("nvmlDeviceGetEnforcedPowerLimit", "int", ["void *", "uint32_t *"]),
  };
  loaded.set(path, nvml);
  return nvml;
}

/** `library`: a path or a name that the system's loader knows. */
export function openNvml(library: string = NVML_LIBRARY): Found<Gpus> {
  const unavailable = (reason: string): Found<Gpus> => ({ kind: "unavailable", reason });
  let nvml: Nvml;
  try {
    nvml = load(library);
  } catch (failure) {
    const first = (failure instanceof Error ? failure.message : String(failure)).split("\n")[0];
    return unavailable(`no NVIDIA driver with NVML: ${first}`);
  }
  const started = nvml.init();
  if (started !== SUCCESS) return unavailable(`NVML does not start: ${said(nvml, started)}`);
  const close = (): void => void nvml.shutdown();
  const count = new Uint32Array(1);
  const counted = nvml.count(count);
  if (counted !== SUCCESS || count[0] === 0) {
    const reason = counted === SUCCESS ? "there is none" : said(nvml, counted);
    close();
    return unavailable(`NVML shows no GPU: ${reason}`);
  }
  const list = new Map<string, Gpu>();
  const notes: string[] = [];
  for (let index = 0; index < (count[0] as number); index += 1) {
    const gpu = gpuAt(nvml, index);
    if (typeof gpu === "string") notes.push(gpu);
    else if (list.has(gpu.uuid)) notes.push(`${gpu.name} is listed twice and counted once`);
    else list.set(gpu.uuid, gpu);
  }
  return { kind: "open", source: { list: [...list.values()], close }, notes };
}

const said = (nvml: Nvml, status: Status): string => nvml.error(status) ?? `error ${status}`;

/** Or why there is nothing to be said of it. */
function gpuAt(nvml: Nvml, index: number): Gpu | string {
  const name = `gpu ${index}`;
  const out: Handle[] = [null];
  const found = nvml.handle(index, out);
  if (found !== SUCCESS) return `${name} is left out: ${said(nvml, found)}`;
  const handle = out[0];
  const text = Buffer.alloc(UUID_BYTES);
  const named = nvml.uuid(handle, text, UUID_BYTES) === SUCCESS;
  const end = text.indexOf(0);
  const uuid = named ? text.toString("latin1", 0, end === -1 ? UUID_BYTES : end) : name;
  const milliwatts = new Uint32Array(1);
  const limited = nvml.limit(handle, milliwatts) === SUCCESS && (milliwatts[0] as number) > 0;
  const limitWatts = limited ? (milliwatts[0] as number) / 1000 : LIMIT_WATTS;
  return { uuid, name, limitWatts, counter: counterOf(nvml, handle, name) };
}

function counterOf(nvml: Nvml, handle: Handle, name: string): Found<EnergySource> {
  const millijoules = new BigUint64Array(1);
  const show = (): number => {
    const status = nvml.energy(handle, millijoules);
    if (status !== SUCCESS) throw new Error(said(nvml, status));
    return Number(millijoules[0]);
  };
  const part = {
    name: `nvml ${name}`,
    facts: { range: undefined, perMsMax: WATTS_MAX, stepMs: STEP_MS, stillMsMax: STILL_MS_MAX },
    ujPerCount: 1000,
    error: ERROR,
    show,
  };
  try {
    // All boards share one session with the driver, which is ended when all of them are.
    const source = new MeasuredSource(`nvml ${name}`, [part], () => undefined);
    return { kind: "open", source, notes: [] };
  } catch (failure) {
    return { kind: "unavailable", reason: `its energy is not counted: ${(failure as Error).message}` };
  }
}
