/** The machine's energy, as the server and `weir meter probe` open it. */
import { chooseSource, type MachineEnergy, type SourceChoice } from "../../engine/metering/energy/choose.ts";
import { readCalibration, thisMachine } from "./energy-file.ts";

export interface EnergyPorts extends Pick<SourceChoice, "now" | "declared" | "powercap" | "nvmlLibrary"> {
  /** WEIR_HOME. */
  readonly home: string;
  readonly onChange: SourceChoice["onChange"];
}

export function openMachineEnergy({ home, ...ports }: EnergyPorts): MachineEnergy {
  const machine = thisMachine();
  return chooseSource({ ...ports, threads: machine.threads, calibration: readCalibration(home, machine) });
}
