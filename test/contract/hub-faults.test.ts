/** A pull over bad connections: it goes on where it stopped, or says why it cannot. */
import { describe, expect, test } from "vitest";
import type { Fault } from "../support/hub-double.ts";
import { fetched, model, openPulls, WEIGHTS } from "../support/hub-pulls.ts";

describe("when the connection is bad", () => {
  test("a body that is cut is continued where it stopped", async () => {
    await using pulls = await openPulls({ "org/m": model() });
    pulls.fault("model.safetensors", { kind: "truncate", after: 60_000 });
    const pulled = await pulls.pull("org/m", { partsMax: 1 });
    expect(fetched(pulled).equals(WEIGHTS.content)).toBe(true);
    const [first, second] = pulls.requests("/model.safetensors").filter(({ at }) => at === "content");
    expect(first?.range).toBe("bytes=0-99999");
    expect(second?.range).toBe("bytes=60000-99999");
    expect(pulls.pauses()).toHaveLength(1);
  });

  test("a body that ends too early without a word is noticed", async () => {
    await using pulls = await openPulls({ "org/m": model() });
    pulls.fault("model.safetensors", { kind: "short", after: 10 });
    expect(fetched(await pulls.pull("org/m")).equals(WEIGHTS.content)).toBe(true);
  });

  test("a server that falls silent is given up and asked again", async () => {
    await using pulls = await openPulls({ "org/m": model() });
    pulls.fault("model.safetensors", { kind: "stall", after: 5 });
    expect(fetched(await pulls.pull("org/m", { idleTimeoutMs: 300 })).equals(WEIGHTS.content)).toBe(true);
  });

  test("429 and 503 are retried, as late as the server asks", async () => {
    await using pulls = await openPulls({ "org/m": model() });
    pulls.fault("api", { kind: "status", status: 503 });
    pulls.fault("config.json", { kind: "status", status: 429, headers: { "retry-after": "7" } });
    pulls.fault("model.safetensors", { kind: "status", status: 500 }, { kind: "status", status: 502 });
    expect(fetched(await pulls.pull("org/m")).equals(WEIGHTS.content)).toBe(true);
    expect(pulls.pauses()).toContain(7000);
  });

  test("a signed address that ran out is asked for again", async () => {
    await using pulls = await openPulls({ "org/m": model() });
    pulls.fault("model.safetensors", { kind: "status", status: 403 });
    expect(fetched(await pulls.pull("org/m")).equals(WEIGHTS.content)).toBe(true);
  });

  test("patience ends after the configured tries, and the next pull goes on from there", async () => {
    await using pulls = await openPulls({ "org/m": model() });
    const down: Fault[] = Array.from({ length: 30 }, () => ({ kind: "status", status: 503 }));
    pulls.fault("model.safetensors", { kind: "truncate", after: 100_000 }, ...down);
    await expect(pulls.pull("org/m", { partsMax: 1 })).rejects.toThrow(
      /after 3 tries.*503.*Run the same command to go on/,
    );
    pulls.hub.faults.clear();
    pulls.hub.seen.length = 0;
    expect(fetched(await pulls.pull("org/m")).equals(WEIGHTS.content)).toBe(true);
    expect(pulls.hub.seen.filter(({ at }) => at === "content")).toHaveLength(9);
    expect(pulls.requests("/config.json")).toHaveLength(0);
  });

  test("an aborted pull goes on from there too", async () => {
    await using pulls = await openPulls({ "org/m": model() });
    const stop = new AbortController();
    const onProgress = (done: number): void => {
      if (done > 500_000) stop.abort();
    };
    await expect(pulls.pull("org/m", { signal: stop.signal, onProgress, partsMax: 1 })).rejects.toThrow(
      /abort/i,
    );
    pulls.hub.seen.length = 0;
    expect(fetched(await pulls.pull("org/m")).equals(WEIGHTS.content)).toBe(true);
    expect(pulls.hub.seen.filter(({ at }) => at === "content").length).toBeLessThan(6);
  });

  test("a server without ranges sends whole files", async () => {
    await using pulls = await openPulls({ "org/m": model() });
    pulls.hub.ranges = false;
    pulls.fault(
      "model.safetensors",
      { kind: "truncate", after: 50_000 },
      { kind: "truncate", after: 70_000 },
    );
    expect(fetched(await pulls.pull("org/m")).equals(WEIGHTS.content)).toBe(true);
  });

  test("a hub that is not there is named", async () => {
    await using pulls = await openPulls({});
    await pulls.hub.close();
    await expect(pulls.pull("org/m")).rejects.toThrow(/127\.0\.0\.1:\d+: the connection was refused/);
  });
});
