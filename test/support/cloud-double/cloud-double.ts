/** Starts the cloud double in a process of its own and talks to it. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { DoubleCommand, DoubleRecord, DoubleTurn } from "./script.ts";

export type { DoubleRecord, DoubleTurn } from "./script.ts";

const SERVER = fileURLToPath(new URL("server.ts", import.meta.url));

export interface CloudDouble {
  readonly port: number;
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** Adds turns: each request uses one up. */
  script(...turns: readonly DoubleTurn[]): Promise<void>;
  record(): Promise<DoubleRecord>;
  /** Forgets turns and records. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

type Unnumbered<T> = T extends unknown ? Omit<T, "id"> : never;
type Reply = { readonly id?: number; readonly port?: number; readonly record?: DoubleRecord };

export async function startCloudDouble(): Promise<CloudDouble> {
  const child = fork(SERVER, { stdio: "inherit" });
  const waiting = new Map<number, (record: DoubleRecord) => void>();
  const [{ port = 0 }] = (await once(child, "message")) as [Reply];
  child.on("message", ({ id, record }: Reply) => {
    if (id === undefined || record === undefined) return;
    waiting.get(id)?.(record);
    waiting.delete(id);
  });
  let last = 0;
  const ask = (command: Unnumbered<DoubleCommand>): Promise<DoubleRecord> => {
    last += 1;
    const id = last;
    return new Promise((resolve) => {
      waiting.set(id, resolve);
      child.send({ ...command, id });
    });
  };
  return {
    port,
    host: `127.0.0.1:${port}`,
    script: async (...turns) => void (await ask({ kind: "script", turns })),
    record: () => ask({ kind: "record" }),
    reset: async () => void (await ask({ kind: "reset" })),
    close: async () => {
      const ended = once(child, "exit");
      child.disconnect();
      await ended;
    },
  };
}
