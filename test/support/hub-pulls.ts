/** Pulls from a hub double into a folder of their own: one pair a test, gone with it. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type HubOptions, openHubTransport, operatorCommand } from "../../engine/cloud/egress.ts";
import { openHub, type Pulled, type PullOptions, parseReference, pullFromHub } from "../../models/hub.ts";
import {
  type DoubleFile,
  type DoubleRepository,
  type Fault,
  type HubDouble,
  type Seen,
  startHubDouble,
} from "./hub-double.ts";

export const small = (text: string): DoubleFile => ({ content: Buffer.from(text) });
/** Every byte tells its place, so that a range in the wrong place shows. */
export const large = (bytes: number): DoubleFile => ({
  content: Buffer.from(Uint32Array.from({ length: bytes / 4 }, (_, index) => index * 2_654_435_761).buffer),
  lfs: true,
});

export const WEIGHTS = large(1_000_000);
/** A repository with a model in safetensors. */
export const model = (changes: Partial<DoubleRepository> = {}): DoubleRepository => ({
  license: "apache-2.0",
  files: {
    "README.md": small("# model"),
    "config.json": small('{"model_type":"llama"}'),
    "tokenizer.json": small("{}"),
    "tokenizer_config.json": small("{}"),
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": large(4),
  },
  ...changes,
});

/** What a pull brought of one file. */
export const fetched = (pulled: Pulled, name = "model.safetensors"): Buffer =>
  readFileSync(join(pulled.path, name));

export interface PullChanges extends Partial<PullOptions> {
  readonly token?: string;
  readonly idleTimeoutMs?: number;
  readonly proxy?: HubOptions["proxy"];
}

export interface Pulls {
  readonly hub: HubDouble;
  readonly home: string;
  /** Pauses, in ms, that the last pull asked for; none is waited out. */
  pauses(): readonly number[];
  pull(reference: string, changes?: PullChanges): Promise<Pulled>;
  /** What the double does with the next requests for a file, or for the listing (`api`). */
  fault(path: string, ...faults: readonly Fault[]): void;
  /** The requests for a file so far. */
  requests(path: string): readonly Seen[];
  [Symbol.asyncDispose](): Promise<void>;
}

export async function openPulls(repositories: Readonly<Record<string, DoubleRepository>>): Promise<Pulls> {
  const home = mkdtempSync(join(tmpdir(), "weir-hub-"));
  const hub = await startHubDouble(repositories);
  let pauses: number[] = [];
  const pull: Pulls["pull"] = async (
    reference,
    { token, idleTimeoutMs = 5000, proxy = {}, ...changes } = {},
  ) => {
    pauses = [];
    const transport = openHubTransport(operatorCommand(), { idleTimeoutMs, connectionsMax: 8, proxy });
    const door = openHub(hub.url, transport, { token: token === undefined ? undefined : () => token });
    try {
      using pulled = await pullFromHub(door, parseReference(reference), {
        downloadsFolder: join(home, "downloads"),
        file: undefined,
        partsMax: 4,
        partBytes: 100_000,
        attemptsMax: 3,
        downloadBytesMax: 1e9,
        clock: { now: () => performance.now(), wall: () => Date.now() },
        signal: new AbortController().signal,
        pause: async (ms) => {
          pauses.push(ms);
        },
        onProgress: () => undefined,
        ...changes,
      });
      return pulled;
    } finally {
      await door.close();
    }
  };
  return {
    hub,
    home,
    pauses: () => pauses,
    pull,
    fault: (path, ...faults) => void hub.faults.set(path, [...faults]),
    requests: (path) => hub.seen.filter(({ url }) => url.split("?")[0]?.endsWith(path)),
    [Symbol.asyncDispose]: async () => {
      await hub.close();
      rmSync(home, { recursive: true, force: true });
    },
  };
}
