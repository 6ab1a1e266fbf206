import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type HubOptions, openHubTransport, operatorCommand } from "../../engine/cloud/egress.ts";
import { openHub, type Pulled, type PullOptions, parseReference, pullFromHub } from "../../models/hub.ts";
import {
  COMMIT,
  type DoubleFile,
  type DoubleRepository,
  type Fault,
  type HubDouble,
  startHubDouble,
} from "../support/hub-double.ts";

const small = (text: string): DoubleFile => ({ content: Buffer.from(text) });
/** Every byte tells its place, so that a range in the wrong place shows. */
const large = (bytes: number): DoubleFile => ({
  content: Buffer.from(Uint32Array.from({ length: bytes / 4 }, (_, index) => index * 2_654_435_761).buffer),
  lfs: true,
});

const WEIGHTS = large(1_000_000);
const model = (changes: Partial<DoubleRepository> = {}): DoubleRepository => ({
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

let home: string;
let hub: HubDouble;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "weir-hub-"));
});
afterEach(async () => {
  await hub?.close();
  rmSync(home, { recursive: true, force: true });
});

interface Extra extends Partial<PullOptions> {
  readonly token?: string;
  readonly idleTimeoutMs?: number;
  readonly proxy?: HubOptions["proxy"];
}

/** Pauses that were asked for; none is waited out. */
let pauses: number[];

async function pull(
  reference: string,
  { token, idleTimeoutMs = 5000, proxy = {}, ...extra }: Extra = {},
): Promise<Pulled> {
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
      ...extra,
    });
    return pulled;
  } finally {
    await door.close();
  }
}

const fault = (path: string, ...faults: Fault[]): void => void hub.faults.set(path, faults);
const fetched = (pulled: Pulled, name = "model.safetensors"): Buffer => readFileSync(join(pulled.path, name));
const requests = (path: string) => hub.seen.filter(({ url }) => url.split("?")[0]?.endsWith(path));

describe("a pull", () => {
  test("fetches weights, configuration and tokenizer of the commit, and nothing else", async () => {
    hub = await startHubDouble({ "org/m": model() });
    const steps: (readonly [number, number])[] = [];
    const pulled = await pull("org/m", { onProgress: (done, total) => steps.push([done, total]) });
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
    expect(readdirSync(join(home, "downloads"))).toEqual([]);
  });

  test("splits a large file into ranges, at most so many at a time", async () => {
    hub = await startHubDouble({ "org/m": model() });
    hub.delayMs = 30;
    await pull("org/m", { partsMax: 3 });
    const ranges = hub.seen.filter(({ at }) => at === "content").map(({ range }) => range);
    expect(ranges).toHaveLength(10);
    expect(new Set(ranges).size).toBe(10);
    expect(hub.busiest()).toBe(3);
  });

  test("pins the commit that a revision meant when it was asked", async () => {
    hub = await startHubDouble({ "org/m": model() });
    await pull("org/m:v1");
    expect(hub.seen[0]?.url).toBe("/api/models/org/m/revision/v1?blobs=true");
    const files = hub.seen.filter(({ at, url }) => at === "hub" && url.includes("/resolve/"));
    expect(files.every(({ url }) => url.includes(`/resolve/${COMMIT}/`))).toBe(true);
  });

  test("the token goes to the hub and never to the host that it redirects to", async () => {
    hub = await startHubDouble({ "org/m": model({ token: "hf_secret" }) });
    await pull("org/m", { token: "hf_secret" });
    const at = (place: "hub" | "content") => hub.seen.filter((request) => request.at === place);
    expect(at("hub").every(({ authorization }) => authorization === "Bearer hf_secret")).toBe(true);
    expect(at("content").length).toBeGreaterThan(0);
    expect(at("content").every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  test("shards come with their index", async () => {
    const { "model.safetensors": _whole, ...rest } = model().files;
    hub = await startHubDouble({
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
    const pulled = await pull("org/m");
    expect(readdirSync(pulled.path).filter((name) => name.includes("model-"))).toHaveLength(2);
    expect(existsSync(join(pulled.path, "model.safetensors.index.json"))).toBe(true);
  });
});

describe("choosing among GGUF files", () => {
  const ggufs = (...names: string[]): DoubleRepository => ({
    files: Object.fromEntries(names.map((name) => [name, large(8000)])),
  });

  test("the only one is taken", async () => {
    hub = await startHubDouble({ "org/m": ggufs("m-q8.gguf") });
    expect((await pull("org/m")).path).toMatch(/m-q8\.gguf$/);
  });

  test("several are listed with the way to choose, and --file chooses", async () => {
    hub = await startHubDouble({ "org/m": ggufs("m-q4.gguf", "big/m-q8.gguf") });
    await expect(pull("org/m")).rejects.toThrow(
      /several GGUF files.*--file NAME:\n {2}--file m-q4\.gguf {2}\(0 MB\)/,
    );
    const pulled = await pull("org/m", { file: "big/m-q8.gguf" });
    expect(readFileSync(pulled.path).equals(large(8000).content)).toBe(true);
    await expect(pull("org/m", { file: "m-q5.gguf" })).rejects.toThrow('no file "m-q5.gguf"');
  });

  test("a repository without a usable model says why", async () => {
    hub = await startHubDouble({
      "org/pickled": { files: { "pytorch_model.bin": large(8), "config.json": small("{}") } },
      "org/empty": { files: { "README.md": small("") } },
      "org/bare": { files: { "model.safetensors": large(8), "config.json": small("{}") } },
      "org/split": ggufs("m-00001-of-00002.gguf"),
    });
    await expect(pull("org/pickled")).rejects.toThrow("can run code");
    await expect(pull("org/empty")).rejects.toThrow("neither safetensors nor a GGUF");
    await expect(pull("org/bare")).rejects.toThrow("no tokenizer.json");
    await expect(pull("org/split")).rejects.toThrow("split GGUF");
    expect(hub.seen.every(({ url }) => url.startsWith("/api/"))).toBe(true);
  });
});

describe("an exported graph", () => {
  const repository = (...graphs: string[]): DoubleRepository => ({
    files: Object.fromEntries([
      ...["config.json", "tokenizer.json", "README.md", "onnx/notes.txt"].map((name) => [name, small(name)]),
      ...graphs.map((name) => [name, large(64)]),
    ]),
  });
  const names = (pulled: Pulled): readonly string[] => readdirSync(join(pulled.path, "..")).sort();

  test("is pulled with its weights, configuration and tokenizer, flat, and is what is imported", async () => {
    const graph = "onnx/model.onnx";
    hub = await startHubDouble({
      "org/m": repository(
        graph,
        `${graph}_data`,
        `${graph}_data_1`,
        "onnx/model_fp16.onnx",
        "onnx/model_q4.onnx",
      ),
    });
    const pulled = await pull("org/m");
    expect(pulled.path.endsWith("/model.onnx")).toBe(true);
    expect(names(pulled)).toEqual([
      "config.json",
      "model.onnx",
      "model.onnx_data",
      "model.onnx_data_1",
      "tokenizer.json",
    ]);
  });

  test("of 4 bits is taken where there is none with whole weights, and --file takes any", async () => {
    const graphs = [
      "onnx/model_fp16.onnx",
      "onnx/model_q4.onnx",
      "onnx/model_q4.onnx_data",
      "onnx/model_q8x.onnx",
    ];
    hub = await startHubDouble({ "org/a": repository(...graphs), "org/b": repository(...graphs) });
    expect(names(await pull("org/a"))).toContain("model_q4.onnx_data");
    const chosen = await pull("org/b", { file: "onnx/model_q8x.onnx" });
    expect(names(chosen)).toEqual(["config.json", "model_q8x.onnx", "tokenizer.json"]);
  });

  test("in a folder of its own comes with the files beside it, where --file names it", async () => {
    const files = Object.fromEntries(
      ["genai_config.json", "tokenizer.json", "model.onnx", "model.onnx.data"].flatMap((name) =>
        ["cpu", "gpu"].map((folder) => [`${folder}/${name}`, small(`${folder} ${name}`)]),
      ),
    );
    hub = await startHubDouble({ "org/m": { files } });
    await expect(pull("org/m")).rejects.toThrow(/--file NAME:\n {2}--file cpu\/model.onnx/);
    const pulled = await pull("org/m", { file: "cpu/model.onnx" });
    expect(names(pulled)).toEqual(["genai_config.json", "model.onnx", "model.onnx.data", "tokenizer.json"]);
    expect(readFileSync(pulled.path, "utf8")).toBe("cpu model.onnx");
  });

  test("is passed over where there are safetensors, and refused before it is fetched without a tokenizer", async () => {
    const { "tokenizer.json": _, ...bare } = repository("onnx/model.onnx").files;
    hub = await startHubDouble({
      "org/both": { files: { ...repository("onnx/model.onnx").files, "model.safetensors": large(8) } },
      "org/bare": { files: bare },
    });
    expect(readdirSync((await pull("org/both")).path)).toContain("model.safetensors");
    hub.seen.length = 0;
    await expect(pull("org/bare")).rejects.toThrow("has onnx/model.onnx but no tokenizer.json");
    expect(hub.seen).toHaveLength(1);
  });
});

describe("when the connection is bad", () => {
  test("a body that is cut is continued where it stopped", async () => {
    hub = await startHubDouble({ "org/m": model() });
    fault("model.safetensors", { kind: "truncate", after: 60_000 });
    const pulled = await pull("org/m", { partsMax: 1 });
    expect(fetched(pulled).equals(WEIGHTS.content)).toBe(true);
    const [first, second] = requests("/model.safetensors").filter(({ at }) => at === "content");
    expect(first?.range).toBe("bytes=0-99999");
    expect(second?.range).toBe("bytes=60000-99999");
    expect(pauses).toHaveLength(1);
  });

  test("a body that ends too early without a word is noticed", async () => {
    hub = await startHubDouble({ "org/m": model() });
    fault("model.safetensors", { kind: "short", after: 10 });
    expect(fetched(await pull("org/m")).equals(WEIGHTS.content)).toBe(true);
  });

  test("a server that falls silent is given up and asked again", async () => {
    hub = await startHubDouble({ "org/m": model() });
    fault("model.safetensors", { kind: "stall", after: 5 });
    expect(fetched(await pull("org/m", { idleTimeoutMs: 300 })).equals(WEIGHTS.content)).toBe(true);
  });

  test("429 and 503 are retried, as late as the server asks", async () => {
    hub = await startHubDouble({ "org/m": model() });
    fault("api", { kind: "status", status: 503 });
    fault("config.json", { kind: "status", status: 429, headers: { "retry-after": "7" } });
    fault("model.safetensors", { kind: "status", status: 500 }, { kind: "status", status: 502 });
    expect(fetched(await pull("org/m")).equals(WEIGHTS.content)).toBe(true);
    expect(pauses).toContain(7000);
  });

  test("a signed address that ran out is asked for again", async () => {
    hub = await startHubDouble({ "org/m": model() });
    fault("model.safetensors", { kind: "status", status: 403 });
    expect(fetched(await pull("org/m")).equals(WEIGHTS.content)).toBe(true);
  });

  test("patience ends after the configured tries, and the next pull goes on from there", async () => {
    hub = await startHubDouble({ "org/m": model() });
    const down: Fault[] = Array.from({ length: 30 }, () => ({ kind: "status", status: 503 }));
    fault("model.safetensors", { kind: "truncate", after: 100_000 }, ...down);
    await expect(pull("org/m", { partsMax: 1 })).rejects.toThrow(
      /after 3 tries.*503.*Run the same command to go on/,
    );
    hub.faults.clear();
    hub.seen.length = 0;
    expect(fetched(await pull("org/m")).equals(WEIGHTS.content)).toBe(true);
    expect(hub.seen.filter(({ at }) => at === "content")).toHaveLength(9);
    expect(requests("/config.json")).toHaveLength(0);
  });

  test("an aborted pull goes on from there too", async () => {
    hub = await startHubDouble({ "org/m": model() });
    const stop = new AbortController();
    const onProgress = (done: number): void => {
      if (done > 500_000) stop.abort();
    };
    await expect(pull("org/m", { signal: stop.signal, onProgress, partsMax: 1 })).rejects.toThrow(/abort/i);
    hub.seen.length = 0;
    expect(fetched(await pull("org/m")).equals(WEIGHTS.content)).toBe(true);
    expect(hub.seen.filter(({ at }) => at === "content").length).toBeLessThan(6);
  });

  test("a server without ranges sends whole files", async () => {
    hub = await startHubDouble({ "org/m": model() });
    hub.ranges = false;
    fault("model.safetensors", { kind: "truncate", after: 50_000 }, { kind: "truncate", after: 70_000 });
    expect(fetched(await pull("org/m")).equals(WEIGHTS.content)).toBe(true);
  });

  test("a hub that is not there is named", async () => {
    hub = await startHubDouble({});
    await hub.close();
    await expect(pull("org/m")).rejects.toThrow(/127\.0\.0\.1:\d+: the connection was refused/);
  });
});

describe("when the hub is not to be trusted", () => {
  test("bytes with the wrong digest are refused and not kept", async () => {
    for (const path of ["model.safetensors", "config.json"]) {
      hub = await startHubDouble({ "org/m": model() });
      fault(path, { kind: "damage" });
      await expect(pull("org/m")).rejects.toThrow(`${path} arrived damaged`);
      const left = readdirSync(home, { recursive: true, encoding: "utf8" });
      expect(left.filter((name) => name.includes(`/${path}`))).toEqual([]);
      rmSync(join(home, "downloads"), { recursive: true });
      await hub.close();
    }
  });

  test("bytes that were damaged on the disk between two pulls are fetched anew", async () => {
    hub = await startHubDouble({ "org/m": model() });
    const down: Fault[] = Array.from({ length: 30 }, () => ({ kind: "status", status: 503 }));
    fault("model.safetensors", { kind: "truncate", after: 100_000 }, ...down);
    await expect(pull("org/m", { partsMax: 1 })).rejects.toThrow("503");
    hub.faults.clear();
    const part = join(home, "downloads", "org+m", COMMIT, "model.safetensors.part");
    const bytes = readFileSync(part);
    bytes[17] = (bytes[17] ?? 0) ^ 255;
    writeFileSync(part, bytes);
    expect(fetched(await pull("org/m")).equals(WEIGHTS.content)).toBe(true);
  });

  test("names that leave the folder condemn the listing before anything is fetched", async () => {
    for (const trick of [
      "../model.safetensors",
      "/etc/passwd",
      "a/../../b",
      "a\\b",
      "C:x",
      "a\0b",
      "a//b",
      "./a",
    ]) {
      hub = await startHubDouble({
        "org/m": model({ files: { ...model().files, x: { ...small(""), listed: { rfilename: trick } } } }),
      });
      await expect(pull("org/m"), trick).rejects.toThrow("would leave its folder");
      expect(hub.seen).toHaveLength(1);
      await hub.close();
    }
  });

  test("absurd sizes are refused before anything is fetched", async () => {
    const huge = { lfs: { sha256: "0".repeat(64), size: 2 ** 52 } };
    hub = await startHubDouble({
      "org/m": model({ files: { ...model().files, "model.safetensors": { ...WEIGHTS, listed: huge } } }),
    });
    await expect(pull("org/m")).rejects.toThrow(/would fetch .* GB; hub\.download_bytes_max allows 1\.00 GB/);
    await expect(pull("org/m", { downloadBytesMax: 2 ** 53 })).rejects.toThrow(/needs .* GB .* are free/);
    expect(hub.seen.every(({ url }) => url.startsWith("/api/"))).toBe(true);
  });

  test("a file that goes on past its size, or another range than asked for, is refused", async () => {
    hub = await startHubDouble({ "org/m": model() });
    fault("model.safetensors", { kind: "longer" });
    await expect(pull("org/m", { partsMax: 1 })).rejects.toThrow("more of model.safetensors than its size");
    fault("model.safetensors", { kind: "other-range" });
    await expect(pull("org/m", { partsMax: 1 })).rejects.toThrow("another range");
  });

  test("a file without a digest counts as absent", async () => {
    const { blobId: _none, ...bare } = { blobId: undefined, size: 2 };
    hub = await startHubDouble({
      "org/m": model({
        files: {
          ...model().files,
          "tokenizer.json": { ...small("{}"), listed: { ...bare, blobId: undefined } },
        },
      }),
    });
    await expect(pull("org/m")).rejects.toThrow("no tokenizer.json");
  });

  test("redirects in a circle, to odd schemes and listings that are no listings are refused", async () => {
    hub = await startHubDouble({ "org/m": model() });
    fault(
      "api",
      ...Array.from(
        { length: 9 },
        (): Fault => ({ kind: "redirect", to: "/api/models/org/m/revision/main" }),
      ),
    );
    await expect(pull("org/m")).rejects.toThrow("redirects more than 5 times");
    fault("api", { kind: "redirect", to: "file:///etc/passwd" });
    await expect(pull("org/m")).rejects.toThrow("does not follow");
    fault("api", { kind: "short", after: 1 });
    await expect(pull("org/m")).rejects.toThrow("not JSON");
    fault("api", { kind: "short", after: 2 });
    await expect(pull("org/m")).rejects.toThrow("sha: ");
  });
});

describe("what is not to be had", () => {
  test("is explained: no such repository, no such revision, private, gated", async () => {
    hub = await startHubDouble({
      "org/m": model(),
      "org/private": model({ token: "right" }),
      "org/gated": model({ token: "right", gated: true }),
    });
    await expect(pull("org/nothing")).rejects.toThrow("There is no org/nothing at main");
    await expect(pull("org/m:v9")).rejects.toThrow("no such revision");
    await expect(pull("org/private")).rejects.toThrow("set HF_TOKEN if you may read it");
    await expect(pull("org/private", { token: "wrong" })).rejects.toThrow(
      "does not let this HF_TOKEN read it",
    );
    await expect(pull("org/gated", { token: "wrong" })).rejects.toThrow(
      /gated: accept its terms on .*\/org\/gated/,
    );
  });

  test("errors never hold the token or a signature", async () => {
    hub = await startHubDouble({ "org/m": model({ token: "hf_right" }) });
    const down: Fault[] = Array.from({ length: 9 }, () => ({ kind: "status", status: 500 }));
    fault("model.safetensors", ...down);
    const error: Error = await pull("org/m", { token: "hf_right" }).then(
      () => new Error("it worked"),
      (thrown: Error) => thrown,
    );
    expect(error.message).toContain("500");
    expect(`${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`).not.toMatch(
      /hf_right|signature/,
    );
  });

  test("references that are none are refused by name", () => {
    expect(parseReference("a/b:refs/pr/1")).toEqual({ repository: "a/b", revision: "refs/pr/1" });
    for (const text of [
      "",
      "a",
      "a/b/c",
      "a/b:",
      "../b",
      "a/..",
      "a/b:../x",
      "a/b?x",
      "a/b#",
      "https://x/a/b",
    ]) {
      expect(() => parseReference(text), text).toThrow("is not ORG/NAME");
    }
  });
});

test("a proxy carries everything where one is set, except for the hosts that go without", async () => {
  hub = await startHubDouble({ "org/m": model() });
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
    expect(fetched(await pull("org/m", { proxy: { http } })).equals(WEIGHTS.content)).toBe(true);
    expect(new Set(tunnels)).toEqual(new Set([hub.url, hub.contentUrl].map((url) => new URL(url).host)));
    tunnels.length = 0;
    rmSync(join(home, "downloads"), { recursive: true });
    await pull("org/m", { proxy: { http, except: "127.0.0.1" } });
    expect(tunnels).toEqual([]);
  } finally {
    proxy.close();
    proxy.closeAllConnections();
  }
});

test("two pulls of one repository do not meet", async () => {
  hub = await startHubDouble({ "org/m": model() });
  fault("config.json", { kind: "stall", after: 1 });
  const first = pull("org/m", { idleTimeoutMs: 800 });
  await expect.poll(() => hub.seen.length).toBeGreaterThan(1);
  await expect(pull("org/m")).rejects.toThrow("working on the download of org/m");
  await first;
});

test("the digests of the double are the ones that git and sha256 give", () => {
  // `printf 'hello' | git hash-object --stdin`
  const hash = createHash("sha1").update("blob 5\0").update("hello").digest("hex");
  expect(hash).toBe("b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0");
});
