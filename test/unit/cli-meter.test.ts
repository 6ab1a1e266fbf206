/** `weir meter probe` and `calibrate`: what they print, what they write, and their exit codes. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type MeterPorts, meterCalibrate, meterProbe } from "../../server/cli/meter.ts";
import {
  energyFile,
  readCalibration,
  thisMachine,
  writeCalibration,
} from "../../server/metering/energy-file.ts";
import { runIn } from "../support/commands.ts";
import { FakePowercap } from "../support/energy.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "weir-meter-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const weir = (...argv: string[]) => runIn(home, argv);
const { threads } = thisMachine();

/** A processor of 10 W, and 20 W more for each of this process's busy threads. */
class LiveHardware {
  readonly tree = new FakePowercap([{ entry: "intel-rapl:0", name: "package-0", uj: 1_000_000 }]);
  readonly #began = performance.now();
  readonly #used = process.cpuUsage();
  readonly #timer = setInterval(() => {
    const { user, system } = process.cpuUsage(this.#used);
    const uj = (performance.now() - this.#began) * 10_000 + (user + system) * 20;
    this.tree.set("intel-rapl:0", 1_000_000 + Math.round(uj));
  }, 5);

  ports(): MeterPorts & { readonly out: string[] } {
    const out: string[] = [];
    const terminal = {
      out: (line: string) => void out.push(line),
      err: () => undefined,
      interactive: false,
      input: async () => undefined,
    };
    const clock = { now: () => performance.now(), wall: () => 1_790_000_000_000 };
    return { clock, terminal, out, powercap: this.tree.folder, nvmlLibrary: "libnvidia-ml-that-is-not.so.1" };
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.tree[Symbol.dispose]();
  }
}

async function inHome<Value>(work: () => Promise<Value>): Promise<Value> {
  const before = process.env["WEIR_HOME"];
  process.env["WEIR_HOME"] = home;
  try {
    return await work();
  } finally {
    if (before === undefined) delete process.env["WEIR_HOME"];
    else process.env["WEIR_HOME"] = before;
  }
}

describe("probe", () => {
  test("shows each source with its tier, its watts or why it is not there, and who is in use", async () => {
    using hardware = new LiveHardware();
    const ports = hardware.ports();
    expect(await inHome(() => meterProbe({ seconds: "0.3", json: true }, ports))).toBe(0);
    const { sources, inUse } = JSON.parse(ports.out.join("\n"));
    expect(inUse).toEqual(["processors: rapl"]);
    expect(sources).toMatchObject([
      { name: "rapl", tier: "measured", available: true, detail: "" },
      { name: "calibrated model", available: false, detail: expect.stringContaining("weir meter calibrate") },
      { name: "assumed power", tier: "declared", available: true },
      { name: "nvml", available: false, detail: expect.stringContaining("no NVIDIA driver") },
    ]);
    const { watts, low, high } = sources[0].watts;
    expect(watts).toBeGreaterThan(5);
    expect(watts).toBeLessThan(40);
    expect([low / watts, high / watts]).toEqual([expect.closeTo(0.9, 2), expect.closeTo(1.1, 2)]);
  });

  test("runs anywhere: there is always a model", async () => {
    const { code, out, err } = await weir("meter", "probe", "--seconds", "0.1");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/^PART +SOURCE +TIER +WATTS/);
    expect(out).toMatch(/processors +assumed power +declared +[\d.]+ \([\d.]+ to [\d.]+\)/);
    expect(out).toMatch(/\nIn use: processors: .+\.$/);
  });
});

describe("calibrate", () => {
  test("loads the machine, reads its counter and writes what a model is made of", async () => {
    using hardware = new LiveHardware();
    const ports = hardware.ports();
    expect(await inHome(() => meterCalibrate({ fromCounter: true, seconds: "0.4" }, ports))).toBe(0);
    const found = readCalibration(home);
    if ("missing" in found) throw new Error(found.missing);
    expect(found).toMatchObject({ from: "counter", at: 1_790_000_000_000 });
    expect(found.loads.map(({ busyThreads }) => busyThreads)).toEqual(
      threads > 1 ? [0, Math.floor(threads / 2), threads] : [0, threads],
    );
    const [idle, ...busy] = found.loads;
    expect(idle?.watts).toBeGreaterThan(6);
    // Others work on this machine too, so that not all of a processor is ours.
    for (const { watts } of busy) expect(watts).toBeGreaterThan((idle?.watts ?? 0) + 2);
    expect(ports.out.at(-1)).toBe(`Written to ${energyFile(home)}. A server takes it up when it starts.`);

    const probe = hardware.ports();
    await inHome(() => meterProbe({ seconds: "0.1", json: true }, probe));
    expect(JSON.parse(probe.out.join("\n")).sources[1]).toMatchObject({
      available: true,
      tier: "calibrated",
    });
  });

  test("takes what a meter at the wall showed", async () => {
    const { code, out } = await weir("meter", "calibrate", "--watts", "35,80,120.5");
    expect(code).toBe(0);
    expect(out).toContain(`${threads} of ${threads} threads busy: 120.50 W`);
    expect(readCalibration(home)).toMatchObject({
      from: "watts",
      loads: [{ busyThreads: 0, watts: 35 }, { watts: 80 }, { busyThreads: threads, watts: 120.5 }],
    });
  });

  test("only holds the loads where it is told so, and writes nothing", async () => {
    const { code, out, err } = await weir("meter", "calibrate", "--hold", "--seconds", "0.1");
    expect(code).toBe(0);
    expect(err).toContain("read your meter");
    expect(out).toContain("--watts IDLE,HALF,FULL");
    expect(existsSync(energyFile(home))).toBe(false);
  });

  test("without a counter says why and what else there is", async () => {
    using hardware = new LiveHardware();
    const ports = { ...hardware.ports(), powercap: join(home, "none") };
    await expect(inHome(() => meterCalibrate({}, ports))).rejects.toThrow(
      /no counter .*\n.*--hold.*--watts/s,
    );
  });

  test.each([
    ["--watts", "35,80"],
    ["--watts", "80,35,120"],
    ["--watts", "0,35,120"],
    ["--watts", "1,,3"],
    ["--watts", "a,b,c"],
    ["--seconds", "1e9"],
    ["--seconds", "soon"],
  ])("refuses %s %s", async (...flags) => {
    expect(await weir("meter", "calibrate", ...flags)).toMatchObject({ code: 2, out: "" });
    expect(existsSync(energyFile(home))).toBe(false);
  });

  test("refuses two ways at once", async () => {
    expect(await weir("meter", "calibrate", "--watts", "1,2,3", "--hold")).toMatchObject({ code: 2 });
  });
});

describe("energy.json", () => {
  const record = {
    at: 0,
    from: "watts" as const,
    residual: 0,
    loads: [
      { busyThreads: 0, watts: 9 },
      { busyThreads: 4, watts: 30 },
    ],
  };

  test("comes back as it was written", () => {
    writeCalibration(home, record);
    writeCalibration(home, { ...record, residual: 0.5 });
    expect(readCalibration(home)).toEqual({ ...record, residual: 0.5 });
  });

  test.each<[string, (text: string) => string, string]>([
    ["is no JSON", (text) => text.slice(1), "is no JSON"],
    ["has a field more", (text) => text.replace("{", '{ "more": 1,'), "more"],
    [
      "has loads in no order",
      (text) => text.replace('"busy_threads": 4', '"busy_threads": 0'),
      "must go from few",
    ],
    ["has negative watts", (text) => text.replace('"watts": 9', '"watts": -9'), "loads.0.watts"],
    [
      "is of another machine",
      (text) => text.replace(/"threads": \d+/, '"threads": 999'),
      "is of another machine",
    ],
  ])("one that %s counts as none, with the reason", (_, change, reason) => {
    const file = writeCalibration(home, record);
    writeFileSync(file, change(readFileSync(file, "utf8")));
    expect(readCalibration(home)).toEqual({ missing: expect.stringContaining(reason) });
  });
});
