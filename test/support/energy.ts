/** Hardware that takes power: a tree as Linux shows it, and a library as NVIDIA's driver brings it. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const RANGE_UJ = 262_143_328_850;

export interface FakeZone {
  /** Such as `intel-rapl:0`. */
  readonly entry: string;
  readonly name: string;
  readonly uj: number;
  /** Undefined: without the file that says it. */
  readonly range?: number | undefined;
}

export class FakePowercap {
  readonly folder = mkdtempSync(join(tmpdir(), "weir-powercap-"));

  constructor(zones: readonly FakeZone[]) {
    chmodSync(this.folder, 0o755);
    for (const zone of zones) {
      const folder = join(this.folder, zone.entry);
      mkdirSync(folder);
      writeFileSync(join(folder, "name"), `${zone.name}\n`);
      writeFileSync(join(folder, "energy_uj"), `${zone.uj}\n`);
      const range = "range" in zone ? zone.range : RANGE_UJ;
      if (range !== undefined) writeFileSync(join(folder, "max_energy_range_uj"), `${range}\n`);
    }
  }

  set(entry: string, uj: number | string): void {
    writeFileSync(join(this.folder, entry, "energy_uj"), `${uj}\n`);
  }

  forbid(entry: string): void {
    chmodSync(join(this.folder, entry, "energy_uj"), 0);
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Errors by NVML's numbers: 0 none, 3 not supported, 15 a GPU that is lost. */
const NVML_SOURCE = `
#include <stdint.h>
#include <string.h>
static unsigned gpus = 0; static int starts = 0; static int open_count = 0;
static unsigned long long mj[8]; static int failing[8]; static int twin = 0;
void fake_set(unsigned count, int init, int same) { gpus = count; starts = init; twin = same; }
void fake_gpu(unsigned index, unsigned long long value, int status) { mj[index] = value; failing[index] = status; }
int fake_open(void) { return open_count; }
int nvmlInit_v2(void) { if (starts == 0) open_count += 1; return starts; }
int nvmlShutdown(void) { open_count -= 1; return 0; }
const char *nvmlErrorString(int status) { return status == 3 ? "Not Supported" : status == 15 ? "GPU is lost" : "Unknown Error"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = gpus; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) { *handle = (void *)(uintptr_t)(index + 1); return 0; }
int nvmlDeviceGetUUID(void *handle, char *text, unsigned bytes) {
  strcpy(text, "GPU-0"); text[4] += twin ? 0 : (char)((uintptr_t)handle - 1); return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *value) {
  unsigned index = (unsigned)((uintptr_t)handle - 1);
  if (failing[index]) return failing[index];
  *value = mj[index]; return 0;
}
int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *milliwatts) { (void)handle; *milliwatts = 700000; return 0; }
`;

/** Where it lies; undefined where there is no C compiler to build it. */
export function buildFakeNvml(folder: string): string | undefined {
  const [source, library] = [join(folder, "nvml.c"), join(folder, "libnvidia-ml.so.1")];
  writeFileSync(source, NVML_SOURCE);
  try {
    execFileSync("cc", ["-shared", "-fPIC", "-o", library, source], { stdio: "ignore" });
    return library;
  } catch {
    return undefined;
  }
}
