/** A load of so many busy threads, for as long as a calibration looks at it. */
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";

/** Runs `work` while so many threads are busy; they are ended with it, whatever it does. */
export async function whileBusy<Value>(threads: number, work: () => Promise<Value>): Promise<Value> {
  const workers: Worker[] = [];
  try {
    for (let index = 0; index < threads; index += 1)
      workers.push(new Worker(new URL("./busy.worker.ts", import.meta.url)));
    await Promise.all(workers.map(online));
    return await work();
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

const online = (worker: Worker): Promise<void> =>
  new Promise((resolve, reject) => {
    worker.once("online", resolve);
    worker.once("error", reject);
  });

/** What a load draws settles within moments: clocks rise, caches fill. */
export async function settleAndHold(seconds: number, begin: () => void): Promise<void> {
  await sleep(Math.min(2, seconds / 4) * 1000);
  begin();
  await sleep(seconds * 1000);
}
