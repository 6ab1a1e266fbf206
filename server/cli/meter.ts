/** `weir meter probe | calibrate`. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../../engine/core/clock.ts";
import type { Energy } from "../../engine/core/energy.ts";
import type { DeclaredPower, Load } from "../../engine/metering/energy/model.ts";
import { openRapl } from "../../engine/metering/energy/rapl.ts";
import type { EnergySource } from "../../engine/metering/energy/source.ts";
import { loadConfig } from "../config.ts";
import { thisMachine, writeCalibration } from "../metering/energy-file.ts";
import { openMachineEnergy } from "../metering/machine-energy.ts";
import { settleAndHold, whileBusy } from "./busy-loops.ts";
import { CommandFailure, type ExitCode } from "./failure.ts";
import { type ConfigFlags, flagSettings } from "./settings.ts";
import { table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface MeterPorts {
  readonly clock: Clock;
  readonly terminal: Terminal;
  /** Of the system; others in tests. */
  readonly powercap?: string;
  readonly nvmlLibrary?: string;
}

export interface ProbeFlags extends ConfigFlags {
  readonly seconds?: string;
  readonly json?: boolean;
}

const NOTHING_DECLARED: DeclaredPower = { idleWatts: undefined, busyWatts: undefined };

/** Reads every source over the same time. */
export async function meterProbe(flags: ProbeFlags, ports: MeterPorts): Promise<ExitCode> {
  const { clock, terminal } = ports;
  const seconds = secondsOf(flags.seconds, 1);
  const { home } = loadConfig({ file: flags.config, flags: flagSettings(flags) });
  const since = clock.now();
  const machine = openMachineEnergy({
    ...hardwareOf(ports),
    home,
    now: since,
    declared: NOTHING_DECLARED,
    onChange: () => undefined,
  });
  try {
    await sleep(seconds * 1000);
    const stretch = { since, at: clock.now(), busyThreadMs: 0 };
    const readings = machine.offers.map(({ read, ...offer }) => {
      const reading = read?.(stretch);
      const watts = typeof reading === "object" ? wattsOf(reading, stretch.at - since) : undefined;
      return { ...offer, watts, ...(typeof reading === "string" ? { detail: reading } : {}) };
    });
    if (flags.json === true)
      terminal.out(JSON.stringify({ sources: readings, inUse: machine.names }, undefined, 2));
    else {
      const rows = readings.map(({ part, name, tier, available, watts, detail }) => [
        part,
        name,
        tier,
        available ? (watts === undefined ? "unknown" : shown(watts)) : "not available",
        detail,
      ]);
      for (const line of table([["PART", "SOURCE", "TIER", "WATTS", ""], ...rows])) terminal.out(line);
      terminal.out(`In use: ${machine.names.join(", ")}.`);
    }
  } finally {
    machine.close();
  }
  return 0;
}

interface Watts {
  readonly watts: number;
  readonly low: number;
  readonly high: number;
}

const inWatts = (uj: number, ms: number): number => Number((uj / 1000 / ms).toFixed(2));
const wattsOf = ({ uj, lowUj, highUj }: Energy, ms: number): Watts => ({
  watts: inWatts(uj, ms),
  low: inWatts(lowUj, ms),
  high: inWatts(highUj, ms),
});
const shown = ({ watts, low, high }: Watts): string => `${watts} (${low} to ${high})`;

export interface CalibrateFlags extends ConfigFlags {
  readonly fromCounter?: boolean;
  readonly watts?: string;
  readonly hold?: boolean;
  readonly seconds?: string;
}

const HELP =
  "With a meter at the wall: `weir meter calibrate --hold` holds each load while you read it, then " +
  "`weir meter calibrate --watts IDLE,HALF,FULL` takes what you read.";

/** Writes energy.json, but for `--hold`. */
export async function meterCalibrate(flags: CalibrateFlags, ports: MeterPorts): Promise<ExitCode> {
  const chosen = [flags.fromCounter === true, flags.watts !== undefined, flags.hold === true];
  if (chosen.filter(Boolean).length > 1)
    throw new CommandFailure(2, "Choose one of --from-counter, --watts and --hold.");
  const { home } = loadConfig({ file: flags.config, flags: flagSettings(flags) });
  const { terminal, clock } = ports;
  const seconds = secondsOf(flags.seconds, flags.hold === true ? 30 : 10);
  const steps = loadSteps(thisMachine().threads);
  if (flags.hold === true) {
    await hold(steps, seconds, terminal);
    return 0;
  }
  const found =
    flags.watts === undefined
      ? await fromCounter(steps, seconds, ports)
      : { loads: fromTyped(flags.watts, thisMachine().threads), residual: 0, from: "watts" as const };
  const file = writeCalibration(home, { ...found, at: clock.wall() });
  for (const { busyThreads, watts } of found.loads)
    terminal.out(`${busyThreads} of ${thisMachine().threads} threads busy: ${watts.toFixed(2)} W`);
  if (found.from === "counter")
    terminal.out(`Two passes differ by ${(found.residual * 100).toFixed(1)} % at most.`);
  terminal.out(`Written to ${file}. A server takes it up when it starts.`);
  return 0;
}

interface LoadStep {
  readonly name: string;
  readonly busyThreads: number;
}

/** A machine with one thread has no half. */
const loadSteps = (threads: number): readonly LoadStep[] => [
  { name: "idle", busyThreads: 0 },
  ...(threads > 1 ? [{ name: "half", busyThreads: Math.floor(threads / 2) }] : []),
  { name: "full", busyThreads: threads },
];

async function hold(steps: readonly LoadStep[], seconds: number, terminal: Terminal): Promise<void> {
  for (const { name, busyThreads } of steps) {
    terminal.err(
      `${name}: ${busyThreads} of ${thisMachine().threads} threads busy for ${seconds} s; read your meter`,
    );
    await whileBusy(busyThreads, () => sleep(seconds * 1000));
  }
  terminal.out("Now: weir meter calibrate --watts IDLE,HALF,FULL");
}

interface FromCounter {
  readonly loads: readonly Load[];
  readonly residual: number;
  readonly from: "counter";
}

/** Up and down again: what warms up or has a guest shows as a difference between the passes. */
async function fromCounter(
  steps: readonly LoadStep[],
  seconds: number,
  ports: MeterPorts,
): Promise<FromCounter> {
  const rapl = openRapl(ports.powercap);
  if (rapl.kind === "unavailable")
    throw new CommandFailure(1, `There is no counter to calibrate by: ${rapl.reason}.\n${HELP}`);
  try {
    const up: number[] = [];
    const down: number[] = [];
    for (const step of steps) up.push(await measure(step, seconds, rapl.source, ports));
    for (const step of steps.toReversed()) down.unshift(await measure(step, seconds, rapl.source, ports));
    const loads = steps.map(({ busyThreads }, index) => ({
      busyThreads,
      watts: ((up[index] as number) + (down[index] as number)) / 2,
    }));
    if ((loads.at(-1) as Load).watts < (loads[0] as Load).watts)
      throw new CommandFailure(
        1,
        "It took more at rest than under load: something else works here. Nothing was written.",
      );
    const apart = loads.map(
      ({ watts }, index) => Math.abs((up[index] as number) - (down[index] as number)) / 2 / watts,
    );
    return { loads, residual: Math.max(...apart), from: "counter" };
  } finally {
    rapl.source.close();
  }
}

/** Watts. */
async function measure(
  { name, busyThreads }: LoadStep,
  seconds: number,
  source: EnergySource,
  { clock, terminal }: MeterPorts,
): Promise<number> {
  terminal.err(`${name}: ${busyThreads} of ${thisMachine().threads} threads busy for ${seconds} s`);
  const stretch = (since: number) => ({ since, at: clock.now(), busyThreadMs: 0 });
  const opened = clock.now();
  let since = opened;
  const { reading, ms } = await whileBusy(busyThreads, async () => {
    // What came before belongs to no load.
    await settleAndHold(seconds, () => {
      since = clock.now();
      source.read({ ...stretch(opened), at: since });
    });
    const held = stretch(since);
    return { reading: source.read(held), ms: held.at - since };
  });
  if (reading.kind !== "energy")
    throw new CommandFailure(1, `The counter failed meanwhile: ${reading.reason}. Nothing was written.`);
  if (reading.energy.uj === 0)
    throw new CommandFailure(1, "The counter counted nothing. Nothing was written; give it more --seconds.");
  return reading.energy.uj / 1000 / ms;
}

function fromTyped(text: string, threads: number): readonly Load[] {
  const values = text.split(",").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
  const [idle = Number.NaN, half = Number.NaN, full = Number.NaN] = values;
  if (values.length !== 3 || !(idle > 0 && half >= idle && full >= half && full <= 1_000_000))
    throw new CommandFailure(
      2,
      `--watts ${text} is not IDLE,HALF,FULL: three powers in watts, such as 35,80,120, each at least the one before.`,
    );
  const busy = threads > 1 ? Math.floor(threads / 2) : 0.5;
  return [
    { busyThreads: 0, watts: idle },
    { busyThreads: busy, watts: half },
    { busyThreads: threads, watts: full },
  ];
}

const SECONDS_MAX = 120;

function secondsOf(text: string | undefined, otherwise: number): number {
  const seconds = text === undefined ? otherwise : Number(text);
  if (!(seconds >= 0.1 && seconds <= SECONDS_MAX))
    throw new CommandFailure(2, `--seconds ${text} is not a number from 0.1 to ${SECONDS_MAX}.`);
  return seconds;
}

const hardwareOf = ({ powercap, nvmlLibrary }: MeterPorts) => ({
  ...(powercap === undefined ? {} : { powercap }),
  ...(nvmlLibrary === undefined ? {} : { nvmlLibrary }),
});
