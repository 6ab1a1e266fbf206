/** A pull from a hub: what it fetches, in which ranges, for whom, and through what. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { COMMIT, gitDigest, sha256 } from "../support/hub-double.ts";
import { fetched, large, model, openPulls, small, WEIGHTS } from "../support/hub-pulls.ts";

describe("a pull", () => {
  test("fetches weights, configuration and tokenizer of the commit, and nothing else", async () => {
    await using pulls = await openPulls({ "org/m": model() });
    const steps: (readonly [number, number])[] = [];
    const pulled = await pulls.pull("org/m", { onProgress: (done, total) => steps.push([done, total]) });
    expect(readdirSync(pulled.path).sort()).toEqual([
      "config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    expect(fetched(pulled).equals(WEIGHTS.content)).toBe(true);
    expect(pulled).toMatchObject({ origin: `org/m@${COMMIT}`, licence: "apache-2.0" });
    const last = steps.at(-1);
    expect(last?.[0]).toBe(last?.[1]);
    expect(steps.every(([done], index) => done >= (steps[index - 1]?.[0] ?? 0))).toBe(true);
    pulled.discard();
    expect(readdirSync(join(pulls.home, "downloads"))).toEqual([]);
  });

  test("splits a large file into ranges, at most so many at a time", async () => {
    await using pulls = await openPulls({ "org/m": model() });
    pulls.hub.delayMs = 30;
    await pulls.pull("org/m", { partsMax: 3 });
    const ranges = pulls.hub.seen.filter(({ at }) => at === "content").map(({ range }) => range);
    expect(ranges).toHaveLength(10);
    expect(new Set(ranges).size).toBe(10);
    expect(pulls.hub.busiest()).toBe(3);
  });

  test("pins the commit that a revision meant when it was asked", async () => {
    await using pulls = await openPulls({ "org/m": model() });
    await pulls.pull("org/m:v1");
    expect(pulls.hub.seen[0]?.url).toBe("/api/models/org/m/revision/v1?blobs=true");
    const files = pulls.hub.seen.filter(({ at, url }) => at === "hub" && url.includes("/resolve/"));
    expect(files.every(({ url }) => url.includes(`/resolve/${COMMIT}/`))).toBe(true);
  });

  test("the token goes to the hub and never to the host that it redirects to", async () => {
    await using pulls = await openPulls({ "org/m": model({ token: "hf_secret" }) });
    await pulls.pull("org/m", { token: "hf_secret" });
    const at = (place: "hub" | "content") => pulls.hub.seen.filter((request) => request.at === place);
    expect(at("hub").every(({ authorization }) => authorization === "Bearer hf_secret")).toBe(true);
    expect(at("content").length).toBeGreaterThan(0);
    expect(at("content").every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  test("shards come with their index", async () => {
    const { "model.safetensors": _whole, ...rest } = model().files;
    await using pulls = await openPulls({
      "org/m": model({
        files: {
          ...rest,
          "model.safetensors.index.json": small("{}"),
          "model-00001-of-00002.safetensors": large(400),
          "model-00002-of-00002.safetensors": large(800),
          "original/consolidated.00.pth": large(4),
        },
      }),
    });
    const pulled = await pulls.pull("org/m");
    expect(readdirSync(pulled.path).filter((name) => name.includes("model-"))).toHaveLength(2);
    expect(existsSync(join(pulled.path, "model.safetensors.index.json"))).toBe(true);
  });
});

test("a proxy carries everything where one is set, except for the hosts that go without", async () => {
  await using pulls = await openPulls({ "org/m": model() });
  const tunnels: string[] = [];
  const proxy = createServer().on("connect", (request, socket: Socket) => {
    tunnels.push(request.url ?? "");
    const { hostname, port } = new URL(`http://${request.url}`);
    const onward = connect(Number(port), hostname, () => socket.write("HTTP/1.1 200 OK\r\n\r\n"));
    socket.on("error", () => onward.destroy());
    onward.on("error", () => socket.destroy());
    socket.pipe(onward).pipe(socket);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const http = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  try {
    expect(fetched(await pulls.pull("org/m", { proxy: { http } })).equals(WEIGHTS.content)).toBe(true);
    expect(new Set(tunnels)).toEqual(
      new Set([pulls.hub.url, pulls.hub.contentUrl].map((url) => new URL(url).host)),
    );
    tunnels.length = 0;
    rmSync(join(pulls.home, "downloads"), { recursive: true });
    await pulls.pull("org/m", { proxy: { http, except: "127.0.0.1" } });
    expect(tunnels).toEqual([]);
  } finally {
    proxy.close();
    proxy.closeAllConnections();
  }
});

test("two pulls of one repository do not meet", async () => {
  await using pulls = await openPulls({ "org/m": model() });
  pulls.fault("config.json", { kind: "stall", after: 1 });
  const first = pulls.pull("org/m", { idleTimeoutMs: 800 });
  await expect.poll(() => pulls.hub.seen.length).toBeGreaterThan(1);
  await expect(pulls.pull("org/m")).rejects.toThrow("working on the download of org/m");
  await first;
});

test("the digests of the double are the ones that git and sha256 give", () => {
  const hello = Buffer.from("hello");
  // `printf 'hello' | git hash-object --stdin`, `printf 'hello' | sha256sum`
  expect(gitDigest(hello)).toBe("b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0");
  expect(sha256(hello)).toBe("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
});
