/** RAPL over a tree of files, NVML over a library that is built here, and the models. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import koffi from "koffi";
import { afterAll, describe, expect, test } from "vitest";
import {
  calibratedModel,
  declaredModel,
  gpuModel,
  PowerModel,
} from "../../../engine/metering/energy/model.ts";
import { openNvml } from "../../../engine/metering/energy/nvml.ts";
import { openRapl } from "../../../engine/metering/energy/rapl.ts";
import type { EnergySource, Found } from "../../../engine/metering/energy/source.ts";
import { buildFakeNvml, FakePowercap, type FakeZone, RANGE_UJ } from "../../support/energy.ts";

const PACKAGE: FakeZone = { entry: "intel-rapl:0", name: "package-0", uj: 5_000_000_000 };
const stretch = (since: number, at: number, busyThreadMs = 0) => ({ since, at, busyThreadMs });

function opened<Source>(found: Found<Source>): Source {
  if (found.kind !== "open") throw new Error(found.reason);
  return found.source;
}
const ujOf = (source: EnergySource, since: number, at: number): number | string => {
  const reading = source.read(stretch(since, at));
  return reading.kind === "energy" ? reading.energy.uj : `${reading.kind}: ${reading.reason}`;
};

/** Root may read what is forbidden. */
function asNobody<Value>(work: () => Value): Value {
  const root = process.geteuid?.() === 0;
  if (root) process.seteuid?.(65_534);
  try {
    return work();
  } finally {
    if (root) process.seteuid?.(0);
  }
}

describe("rapl", () => {
  test("adds packages and the memory beside them up, and nothing that is a part or a whole of them", () => {
    using tree = new FakePowercap([
      PACKAGE,
      { entry: "intel-rapl:0:0", name: "core", uj: 1 },
      { entry: "intel-rapl:0:1", name: "dram", uj: 700_000_000 },
      { entry: "intel-rapl:1", name: "package-1", uj: 9_000_000_000 },
      { entry: "intel-rapl:2", name: "psys", uj: 30_000_000_000 },
      { entry: "intel-rapl-mmio:0", name: "package-0", uj: 5_000_000_000 },
    ]);
    const found = openRapl(tree.folder);
    expect(found).toMatchObject({ notes: [] });
    const source = opened(found);
    tree.set("intel-rapl:0", 5_000_000_000 + 100_000);
    tree.set("intel-rapl:0:0", 90_000);
    tree.set("intel-rapl:0:1", 700_000_000 + 10_000);
    tree.set("intel-rapl:1", 9_000_000_000 + 1_000);
    tree.set("intel-rapl:2", 99_000_000_000);
    tree.set("intel-rapl-mmio:0", 5_000_000_000 + 100_000);
    expect(source.read(stretch(0, 10))).toEqual({
      kind: "energy",
      energy: { uj: 111_000, lowUj: 98_900, highUj: 123_100, tier: "measured" },
    });
    expect(source.readWithinMs).toBeGreaterThan(200_000);
    source.close();
  });

  test("goes on over a wrap, and says nothing where a second one may be hidden", () => {
    using tree = new FakePowercap([{ ...PACKAGE, uj: RANGE_UJ - 100 }]);
    const source = opened(openRapl(tree.folder));
    tree.set("intel-rapl:0", 400);
    expect(ujOf(source, 0, 10)).toBe(500);
    tree.set("intel-rapl:0", 500);
    expect(ujOf(source, 10, 300_000)).toBe(
      "unknown: rapl package-0 may have gone round more than once in 300.0 s",
    );
    tree.set("intel-rapl:0", 700);
    expect(ujOf(source, 300_000, 300_010)).toBe(200);
  });

  test.each<[string, Partial<FakeZone>, number | string, string]>([
    ["a reset", {}, 3, "was set back"],
    ["a fall without a range", { range: undefined }, 3, "was set back"],
    ["a jump", {}, 200_000_000_000, "jumped further than the hardware can take power"],
    ["what is no number", {}, "n/a", "shows a value that it cannot have"],
    ["a number that does not end as one", {}, "5000000100.5", "shows a value that it cannot have"],
    ["a number out of its range", {}, RANGE_UJ + 1, "shows a value that it cannot have"],
  ])("does not know after %s, and knows again afterwards", (_, zone, shown, reason) => {
    using tree = new FakePowercap([{ ...PACKAGE, ...zone }]);
    const source = opened(openRapl(tree.folder));
    tree.set("intel-rapl:0", shown);
    expect(ujOf(source, 0, 10)).toBe(`unknown: rapl package-0 ${reason}`);
    tree.set("intel-rapl:0", 1000);
    source.read(stretch(10, 20));
    tree.set("intel-rapl:0", 1500);
    expect(ujOf(source, 20, 30)).toBe(500);
  });

  test("counts dies that are one counter once, and dies that are not each", () => {
    const die = (entry: number, name: string, uj: number): FakeZone => ({
      entry: `intel-rapl:${entry}`,
      name,
      uj,
    });
    using tree = new FakePowercap([
      die(0, "package-0-die-0", 5_000_000_000),
      die(1, "package-0-die-1", 5_000_000_010),
      die(2, "package-1-die-0", 5_000_000_000),
      die(3, "package-1-die-1", 8_000_000_000),
    ]);
    const found = openRapl(tree.folder);
    expect(found).toMatchObject({ notes: ["package-0-die-1 is listed twice and counted once"] });
    for (const [index, uj] of [5_000_001_000, 5_000_001_010, 5_000_000_100, 8_000_000_010].entries())
      tree.set(`intel-rapl:${index}`, uj);
    expect(ujOf(opened(found), 0, 10)).toBe(1_110);
  });

  test("leaves memory out that is not wired up", () => {
    using tree = new FakePowercap([PACKAGE, { entry: "intel-rapl:0:0", name: "dram", uj: 0 }]);
    expect(openRapl(tree.folder)).toMatchObject({ notes: ["package-0 dram shows 0 and is left out"] });
  });

  test("says why it is not there", () => {
    using none = new FakePowercap([{ entry: "intel-rapl:0", name: "psys", uj: 4 }]);
    expect(openRapl(none.folder)).toMatchObject({ reason: expect.stringContaining("has no package") });
    expect(openRapl(join(none.folder, "gone"))).toMatchObject({
      reason: expect.stringMatching(/^there is no .*gone with counters: a virtual machine/),
    });
  });

  test("names the right that is missing, and how to give it", () => {
    using tree = new FakePowercap([PACKAGE]);
    tree.forbid("intel-rapl:0");
    expect(asNobody(() => openRapl(tree.folder))).toMatchObject({
      reason: expect.stringMatching(/^EACCES: only root .* chmod a\+r .*intel-rapl:\*\/energy_uj$/),
    });
  });

  test("is lost where its files cannot be read any more", () => {
    using tree = new FakePowercap([PACKAGE]);
    const source = opened(openRapl(tree.folder));
    source.close();
    expect(ujOf(source, 0, 10)).toBe("lost: rapl package-0 cannot be read any more (EBADF)");
  });

  test("a reading takes some microseconds", () => {
    using tree = new FakePowercap([PACKAGE]);
    const source = opened(openRapl(tree.folder));
    const began = performance.now();
    for (let at = 0; at < 2000; at += 1) source.read(stretch(at, at + 1));
    // The files of a disk; those of the kernel cost a look at the hardware besides.
    expect((performance.now() - began) / 2000).toBeLessThan(0.1);
    source.close();
  });
});

const folder = mkdtempSync(join(tmpdir(), "weir-nvml-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const library = buildFakeNvml(folder);

describe("nvml", () => {
  test("is not there without a driver, and says so", () => {
    expect(openNvml("libnvidia-ml-that-is-not.so.1")).toMatchObject({
      kind: "unavailable",
      reason: expect.stringMatching(/^no NVIDIA driver with NVML: /),
    });
  });

  // Without a C compiler there is nothing to ask.
  describe.skipIf(library === undefined)("over the library's functions", () => {
    const path = library as string;
    const functions = () => {
      const handle = koffi.load(path);
      return {
        set: handle.func("fake_set", "void", ["uint32_t", "int", "int"]),
        gpu: handle.func("fake_gpu", "void", ["uint32_t", "uint64_t", "int"]),
        open: handle.func("fake_open", "int", []),
      };
    };

    test("each board is a source of its own, in microjoules", () => {
      const fake = functions();
      fake.set(2, 0, 0);
      // More microjoules than a number can hold exactly: millijoules it can.
      fake.gpu(0, 90_071_992_547_409n, 0);
      fake.gpu(1, 7, 0);
      const gpus = opened(openNvml(path));
      expect(gpus.list.map(({ uuid, name, limitWatts }) => [uuid, name, limitWatts])).toEqual([
        ["GPU-0", "gpu 0", 700],
        ["GPU-1", "gpu 1", 700],
      ]);
      const [first, second] = gpus.list.map(({ counter }) => opened(counter));
      fake.gpu(0, 90_071_992_547_409n + 321n, 0);
      expect(first?.read(stretch(0, 1000))).toEqual({
        kind: "energy",
        energy: { uj: 321_000, lowUj: 304_950, highUj: 337_050, tier: "measured" },
      });
      fake.gpu(1, 6, 0);
      expect(ujOf(second as EnergySource, 0, 1000)).toBe("unknown: nvml gpu 1 was set back");
      fake.gpu(1, 0, 15);
      expect(ujOf(second as EnergySource, 1000, 2000)).toBe(
        "lost: nvml gpu 1 cannot be read any more (GPU is lost)",
      );
      expect(fake.open()).toBe(1);
      gpus.close();
      expect(fake.open()).toBe(0);
    });

    test("a board without a counter keeps its place, one that is listed twice counts once", () => {
      const fake = functions();
      fake.set(2, 0, 1);
      fake.gpu(0, 1, 3);
      const found = openNvml(path);
      expect(found).toMatchObject({ notes: ["gpu 1 is listed twice and counted once"] });
      const gpus = opened(found);
      expect(gpus.list).toMatchObject([
        { counter: { reason: "its energy is not counted: Not Supported" }, uuid: "GPU-0" },
      ]);
      gpus.close();
    });

    test("a driver that does not start, or has no board, is not there", () => {
      const fake = functions();
      fake.set(0, 0, 0);
      expect(openNvml(path)).toMatchObject({ reason: "NVML shows no GPU: there is none" });
      expect(fake.open()).toBe(0);
      fake.set(1, 9, 0);
      expect(openNvml(path)).toMatchObject({ reason: "NVML does not start: Unknown Error" });
    });
  });
});

describe("models", () => {
  const model = calibratedModel({
    loads: [
      { busyThreads: 0, watts: 20 },
      { busyThreads: 2, watts: 50 },
      { busyThreads: 4, watts: 60 },
    ],
    residual: 0.02,
  });

  test("follow the line through the loads, and stay at its ends", () => {
    expect([0, 1, 2, 3, 4, 99].map((busy) => model.watts(busy))).toEqual([20, 35, 50, 55, 60, 60]);
    // 1 thread busy for 1 s: 35 W.
    expect(model.energyOf(stretch(0, 1000, 1000))).toEqual({
      uj: 35_000_000,
      lowUj: 28_000_000,
      highUj: 45_500_000,
      tier: "calibrated",
    });
  });

  test("are never negative and never nothing for work that was done, whatever the clock says", () => {
    expect(model.energyOf(stretch(1000, 0, 400)).uj).toBe(6_000_000);
    expect(model.energyOf(stretch(5, 5)).uj).toBe(0);
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, -5])
      expect(model.energyOf(stretch(0, 10, odd)).uj).toBeGreaterThan(0);
  });

  test("know a machine no better than two passes over the same loads agree", () => {
    const rough = calibratedModel({ loads: [{ busyThreads: 0, watts: 10 }], residual: 0.3 });
    expect(rough.spread).toEqual({ below: 0.6, above: 0.6 });
  });

  test("of declared power take the usual share for what is not declared, and say how wide that is", () => {
    const both = declaredModel({ idleWatts: 30, busyWatts: 120 }, 8);
    expect([both.watts(0), both.watts(4), both.watts(8)]).toEqual([30, 75, 120]);
    expect(both.energyOf(stretch(0, 1000, 8000))).toEqual({
      uj: 120_000_000,
      lowUj: 72_000_000,
      highUj: 192_000_000,
      tier: "declared",
    });
    expect(declaredModel({ idleWatts: undefined, busyWatts: 350 }, 8).watts(0)).toBeCloseTo(74, 6);
    const assumed = declaredModel({ idleWatts: undefined, busyWatts: undefined }, 8);
    expect([assumed.name, assumed.watts(0), assumed.watts(8)]).toEqual(["assumed power", 5.92, 28]);
    expect(assumed.spread.above).toBeGreaterThan(both.spread.above);
  });

  test("of a GPU that cannot be read reach from next to nothing to its limit", () => {
    expect(gpuModel(700).energyOf(stretch(0, 1000))).toMatchObject({
      uj: 350_000_000,
      lowUj: expect.closeTo(35_000_000, -1),
      highUj: 700_000_000,
      tier: "declared",
    });
  });

  test("are refused where loads are out of order or negative", () => {
    const of = (...loads: (readonly [number, number])[]) =>
      new PowerModel({
        name: "m",
        tier: "declared",
        loads: loads.map(([busyThreads, watts]) => ({ busyThreads, watts })),
        spread: { below: 0, above: 0 },
      });
    expect(of([2, 1]).watts(0)).toBe(1);
    const refused: readonly (readonly (readonly [number, number])[])[] = [
      [],
      [[0, -1]],
      [[0, Number.NaN]],
      [[-1, 5]],
      [
        [0, 1],
        [0, 2],
      ],
    ];
    for (const loads of refused) expect(() => of(...loads)).toThrow(RangeError);
  });
});
