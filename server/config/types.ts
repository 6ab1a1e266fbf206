/** What the configuration looks like to the rest of the program, and what it is made from. */
import type { BackendSettings } from "./backend.ts";
import type { Problem } from "./problems.ts";
import type { Settings } from "./schema.ts";
import type { Secret } from "./secret.ts";

type Camel<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : S;
/** Keys in camelCase; maps with the user's own keys stay as they are. */
type CamelKeys<T> = T extends object
  ? string extends keyof T
    ? Readonly<T>
    : { readonly [K in keyof T as Camel<K & string>]: CamelKeys<T[K]> }
  : T;
export type Camelled = CamelKeys<Settings>;

/** The configuration that the program runs with: deeply frozen, nothing left to decide. */
export interface Config extends Omit<Camelled, "backends" | "engine" | "models" | "keysFile"> {
  /** By name, as in the file. */
  readonly backends: Readonly<Record<string, BackendSettings>>;
  readonly engine: Omit<Camelled["engine"], "threads"> & { readonly threads: number };
  readonly models: Omit<Camelled["models"], "memoryBudgetBytes"> & { readonly memoryBudgetBytes: number };
  /** Absolute; undefined = no keys. */
  readonly keysFile: string | undefined;
  /** Absolute path of WEIR_HOME. */
  readonly home: string;
  /** Where installed models live: `$WEIR_HOME/models`. */
  readonly modelsFolder: string;
  /** Where receipts of decisions are kept: `$WEIR_HOME/receipts`. */
  readonly receiptsFolder: string;
  /** Where it is kept which conversations must stay in the house: `$WEIR_HOME/pins`. */
  readonly pinsFolder: string;
  /** Where pulls wait until they are complete: `$WEIR_HOME/downloads`. */
  readonly downloadsFolder: string;
  /** The file that was read, if any. */
  readonly file: string | undefined;
  /** HF_TOKEN. */
  readonly hubToken: Secret | undefined;
  /** HTTP_PROXY, HTTPS_PROXY and NO_PROXY, for pulls only; addresses may hold a password. */
  readonly proxy: { readonly http?: Secret; readonly https?: Secret; readonly except?: string };
}

export interface Origin {
  readonly kind: "flag" | "environment" | "file" | "default";
  /** `--port`, `PORT`, `weir.yaml:3`; empty for a default. */
  readonly name: string;
}

/** A setting from the command line: `{ path: "server.port", text: "80", flag: "--port" }`. */
export interface FlagSetting {
  readonly path: string;
  readonly text: string;
  readonly flag: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ConfigInput {
  readonly flags?: readonly FlagSetting[];
  /** `--config FILE`, before WEIR_CONFIG. */
  readonly file?: string | undefined;
  /** Default: the process's own. */
  readonly env?: Environment;
  readonly cwd?: string;
  readonly machine?: Machine;
}

/** What `auto` is resolved from. */
export interface Machine {
  readonly cores: number;
  readonly memoryBytes: number;
}

export interface Inspection {
  /** Made of the valid settings alone where there are problems. */
  readonly config: Config;
  readonly settings: Settings;
  readonly origins: ReadonlyMap<string, Origin>;
  readonly problems: readonly Problem[];
  /** Odd, but no reason to stop. */
  readonly warnings: readonly Problem[];
}
