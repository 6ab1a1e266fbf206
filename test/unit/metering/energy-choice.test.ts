/** Who is asked for the machine's energy, who takes over, and what is said of it. */
import { describe, expect, test } from "vitest";
import { type Energy, type EnergyTier, microjoules } from "../../../engine/core/energy.ts";
import { Chain, type SourceChange } from "../../../engine/metering/energy/chain.ts";
import { chooseSource, type SourceChoice } from "../../../engine/metering/energy/choose.ts";
import { declaredModel } from "../../../engine/metering/energy/model.ts";
import type { EnergySource, Reading, Stretch } from "../../../engine/metering/energy/source.ts";
import { FakePowercap } from "../../support/energy.ts";

const energyOf = (uj: number, tier: EnergyTier): Energy => ({
  uj: microjoules(uj),
  lowUj: microjoules(uj),
  highUj: microjoules(uj),
  tier,
});

class Scripted implements EnergySource {
  readonly tier = "measured";
  readonly readWithinMs = 1000;
  readonly name: string;
  closed = 0;
  next: Reading = { kind: "energy", energy: energyOf(1, "measured") };

  constructor(name: string) {
    this.name = name;
  }

  read(): Reading {
    return this.next;
  }

  close(): void {
    this.closed += 1;
  }
}

function chainOf(...sources: readonly Scripted[]) {
  const changes: SourceChange[] = [];
  const asked: Stretch[] = [];
  const model = {
    name: "model",
    tier: "declared" as const,
    energyOf: (stretch: Stretch) => {
      asked.push(stretch);
      return energyOf(7, "declared");
    },
  };
  const chain = new Chain({ part: "processors", sources, model, onChange: (change) => changes.push(change) });
  return { chain, changes, asked };
}

const stretch: Stretch = { since: 100, at: 110, busyThreadMs: 4 };
const unknown = (reason: string, from = stretch): Reading => ({ kind: "unknown", reason, stretch: from });

describe("a chain", () => {
  test("asks the best source, and the next one for the same time where that does not know", () => {
    const [first, second] = [new Scripted("first"), new Scripted("second")];
    const { chain, changes, asked } = chainOf(first, second);
    second.next = { kind: "energy", energy: energyOf(2, "measured") };
    expect(chain.energyOf(stretch).uj).toBe(1);
    first.next = unknown("it was set back");
    expect([chain.energyOf(stretch).uj, chain.energyOf(stretch).uj, chain.name]).toEqual([2, 2, "second"]);
    second.next = unknown("it stands still");
    expect(chain.energyOf(stretch)).toMatchObject({ uj: 7, tier: "declared" });
    expect(asked).toEqual([stretch]);
    first.next = { kind: "energy", energy: energyOf(3, "measured") };
    expect(chain.energyOf(stretch).uj).toBe(3);
    // Each change is said once, with its reason.
    expect(changes.map(({ kind, source, reason, instead }) => [kind, source, reason, instead])).toEqual([
      ["unknown", "first", "it was set back", "second"],
      ["unknown", "second", "it stands still", "model"],
      ["back", "first", "", "first"],
    ]);
  });

  test("lets go of a source that is lost, and never asks it again", () => {
    const first = new Scripted("first");
    const { chain, changes } = chainOf(first);
    expect(chain.readWithinMs).toBe(1000);
    first.next = { kind: "lost", reason: "EACCES" };
    expect(chain.energyOf(stretch).uj).toBe(7);
    first.next = { kind: "energy", energy: energyOf(1, "measured") };
    expect([chain.energyOf(stretch).uj, first.closed, chain.name]).toEqual([7, 1, "model"]);
    chain.close();
    expect([first.closed, chain.readWithinMs]).toEqual([1, Number.POSITIVE_INFINITY]);
    expect(changes).toEqual([
      { kind: "lost", part: "processors", source: "first", reason: "EACCES", instead: "model" },
    ]);
  });

  test("has the model say what a stuck counter did not, from where it stuck", () => {
    const [first, second] = [new Scripted("first"), new Scripted("second")];
    const { chain, asked } = chainOf(first, second);
    const longer = { since: 20, at: 110, busyThreadMs: 44 };
    first.next = unknown("stands still", longer);
    // The second knows only of the last part of that time.
    expect(chain.energyOf(stretch).uj).toBe(7);
    expect(asked).toEqual([longer]);
  });
});

describe("the choice", () => {
  const choice = (powercap: string, more: Partial<SourceChoice> = {}): SourceChoice => ({
    threads: 4,
    now: 0,
    calibration: { missing: "there is none" },
    declared: { idleWatts: undefined, busyWatts: undefined },
    onChange: () => undefined,
    powercap,
    nvmlLibrary: "libnvidia-ml-that-is-not.so.1",
    ...more,
  });
  const read = { at: 1000, busyThreadMs: 1000 };

  test("takes the counter where there is one, and offers everything with its reason", () => {
    using tree = new FakePowercap([{ entry: "intel-rapl:0", name: "package-0", uj: 1_000_000_000 }]);
    const machine = chooseSource(choice(tree.folder));
    tree.set("intel-rapl:0", 1_030_000_000);
    expect(machine.read(read)).toMatchObject({ uj: 30_000_000, tier: "measured" });
    expect(machine.names).toEqual(["processors: rapl"]);
    expect(machine.offers.map(({ name, available }) => [name, available])).toEqual([
      ["rapl", true],
      ["calibrated model", false],
      ["assumed power", true],
      ["nvml", false],
    ]);
    expect(machine.offers.filter(({ available }) => !available).every(({ detail }) => detail !== "")).toBe(
      true,
    );
    machine.close();
  });

  test("says so and goes on with a model where the counter is lost: no reading is 0", () => {
    using tree = new FakePowercap([{ entry: "intel-rapl:0", name: "package-0", uj: 1_000_000_000 }]);
    const changes: SourceChange[] = [];
    const loads = [
      { busyThreads: 0, watts: 10 },
      { busyThreads: 4, watts: 50 },
    ];
    const calibration = { loads, residual: 0.01 };
    const onChange = (change: SourceChange) => void changes.push(change);
    const machine = chooseSource(choice(tree.folder, { calibration, onChange }));
    tree.set("intel-rapl:0", "gone");
    expect(machine.read(read)).toMatchObject({ uj: 20_000_000, tier: "calibrated" });
    expect(changes).toEqual([
      {
        kind: "unknown",
        part: "processors",
        source: "rapl",
        reason: "rapl package-0 shows a value that it cannot have",
        instead: "calibrated model",
      },
    ]);
    machine.close();
    // Nobody should read it then; who does gets a figure all the same.
    expect(machine.read({ at: 2000, busyThreadMs: 0 })).toMatchObject({ uj: 10_000_000, tier: "calibrated" });
  });

  test("without counter and calibration takes what is declared, else what is usual", () => {
    const gone = "powercap-that-is-not";
    const declared = { idleWatts: 8, busyWatts: 40 };
    const machine = chooseSource(choice(gone, { declared }));
    expect(machine.read(read)).toMatchObject({ uj: 16_000_000, tier: "declared" });
    // From the reading before, not from the beginning.
    expect(machine.read({ at: 1500, busyThreadMs: 0 })).toMatchObject({ uj: 4_000_000 });
    const assumed = chooseSource(choice(gone));
    expect(assumed.read(read).uj).toBe(
      declaredModel({ idleWatts: undefined, busyWatts: undefined }, 4).energyOf({ since: 0, ...read }).uj,
    );
    expect(assumed.readWithinMs).toBe(Number.POSITIVE_INFINITY);
    expect(assumed.offers).toContainEqual(
      expect.objectContaining({
        name: "assumed power",
        detail: expect.stringContaining("nothing is declared"),
      }),
    );
  });
});
