/** A pull from a hub that lies: nothing wrong is kept, nothing leaves the folder. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { COMMIT, type Fault } from "../support/hub-double.ts";
import { fetched, model, openPulls, small, WEIGHTS } from "../support/hub-pulls.ts";

describe("when the hub is not to be trusted", () => {
  test("bytes with the wrong digest are refused and not kept", async () => {
    for (const path of ["model.safetensors", "config.json"]) {
      await using pulls = await openPulls({ "org/m": model() });
      pulls.fault(path, { kind: "damage" });
      await expect(pulls.pull("org/m")).rejects.toThrow(`${path} arrived damaged`);
      const left = readdirSync(pulls.home, { recursive: true, encoding: "utf8" });
      expect(left.filter((name) => name.includes(`/${path}`))).toEqual([]);
    }
  });

  test("bytes that were damaged on the disk between two pulls are fetched anew", async () => {
    await using pulls = await openPulls({ "org/m": model() });
    const down: Fault[] = Array.from({ length: 30 }, () => ({ kind: "status", status: 503 }));
    pulls.fault("model.safetensors", { kind: "truncate", after: 100_000 }, ...down);
    await expect(pulls.pull("org/m", { partsMax: 1 })).rejects.toThrow("503");
    pulls.hub.faults.clear();
    const part = join(pulls.home, "downloads", "org+m", COMMIT, "model.safetensors.part");
    const bytes = readFileSync(part);
    bytes[17] = (bytes[17] ?? 0) ^ 255;
    writeFileSync(part, bytes);
    expect(fetched(await pulls.pull("org/m")).equals(WEIGHTS.content)).toBe(true);
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
      await using pulls = await openPulls({
        "org/m": model({ files: { ...model().files, x: { ...small(""), listed: { rfilename: trick } } } }),
      });
      await expect(pulls.pull("org/m"), trick).rejects.toThrow("would leave its folder");
      expect(pulls.hub.seen).toHaveLength(1);
    }
  });

  test("absurd sizes are refused before anything is fetched", async () => {
    const huge = { lfs: { sha256: "0".repeat(64), size: 2 ** 52 } };
    await using pulls = await openPulls({
      "org/m": model({ files: { ...model().files, "model.safetensors": { ...WEIGHTS, listed: huge } } }),
    });
    await expect(pulls.pull("org/m")).rejects.toThrow(
      /would fetch .* GB; hub\.download_bytes_max allows 1\.00 GB/,
    );
    await expect(pulls.pull("org/m", { downloadBytesMax: 2 ** 53 })).rejects.toThrow(
      /needs .* GB .* are free/,
    );
    expect(pulls.hub.seen.every(({ url }) => url.startsWith("/api/"))).toBe(true);
  });

  test("a file that goes on past its size, or another range than asked for, is refused", async () => {
    await using pulls = await openPulls({ "org/m": model() });
    pulls.fault("model.safetensors", { kind: "longer" });
    await expect(pulls.pull("org/m", { partsMax: 1 })).rejects.toThrow(
      "more of model.safetensors than its size",
    );
    pulls.fault("model.safetensors", { kind: "other-range" });
    await expect(pulls.pull("org/m", { partsMax: 1 })).rejects.toThrow("another range");
  });

  test("a file without a digest counts as absent", async () => {
    const { blobId: _none, ...bare } = { blobId: undefined, size: 2 };
    await using pulls = await openPulls({
      "org/m": model({
        files: {
          ...model().files,
          "tokenizer.json": { ...small("{}"), listed: { ...bare, blobId: undefined } },
        },
      }),
    });
    await expect(pulls.pull("org/m")).rejects.toThrow("no tokenizer.json");
  });

  test("redirects in a circle, to odd schemes and listings that are no listings are refused", async () => {
    await using pulls = await openPulls({ "org/m": model() });
    pulls.fault(
      "api",
      ...Array.from(
        { length: 9 },
        (): Fault => ({ kind: "redirect", to: "/api/models/org/m/revision/main" }),
      ),
    );
    await expect(pulls.pull("org/m")).rejects.toThrow("redirects more than 5 times");
    pulls.fault("api", { kind: "redirect", to: "file:///etc/passwd" });
    await expect(pulls.pull("org/m")).rejects.toThrow("does not follow");
    pulls.fault("api", { kind: "short", after: 1 });
    await expect(pulls.pull("org/m")).rejects.toThrow("not JSON");
    pulls.fault("api", { kind: "short", after: 2 });
    await expect(pulls.pull("org/m")).rejects.toThrow("sha: ");
  });
});
