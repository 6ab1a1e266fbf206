import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { withoutEngines } from "../../../scripts/lock/engines.ts";
import { type LockPackages, missingPlatformPackages } from "../../../scripts/lock/platforms.ts";

const read = (): { readonly packages: LockPackages } =>
  JSON.parse(readFileSync(new URL("../../../package-lock.json", import.meta.url), "utf8"));

test("the lock names every system's packages, or npm ci refuses it (run: node scripts/complete-lock.ts)", () => {
  expect(missingPlatformPackages(read().packages).map(({ folder }) => folder)).toEqual([]);
});

test("the lock asks only for weir what Node the host has, so that npm ci warns of nothing on Node 20", () => {
  const { packages } = read();
  const asking = Object.entries(packages).filter(([, { engines }]) => engines !== undefined);
  expect(asking.map(([folder, { engines }]) => [folder, engines])).toEqual([["", { node: ">=20" }]]);
});

test("engines are taken out of packages, and nothing else is", () => {
  const engines = { node: ">=22" };
  const lock: LockPackages = { "": { engines }, "node_modules/a": { version: "1.0.0", engines, dev: true } };
  expect(withoutEngines(lock)).toEqual({
    "": { engines },
    "node_modules/a": { version: "1.0.0", dev: true },
  });
});

test("a missing entry is made from the package's name, where npm would put it", () => {
  const lock: LockPackages = {
    "": {},
    "node_modules/a": {
      version: "2.0.0",
      dev: true,
      optionalDependencies: { "@a/cli-linux-x64-musl": "2.0.0", "@a/cli-win32-arm64": "2.0.0", c: "^1.0.0" },
    },
    "node_modules/b": { version: "1.0.0" },
    "node_modules/b/node_modules/a": {
      version: "1.0.0",
      optionalDependencies: { "@a/cli-win32-arm64": "1.0.0" },
    },
    "node_modules/@a/cli-linux-x64-musl": { version: "1.0.0" },
  };
  const win = { cpu: ["arm64"], optional: true, os: ["win32"] };
  expect(missingPlatformPackages(lock)).toEqual([
    {
      folder: "node_modules/a/node_modules/@a/cli-linux-x64-musl",
      entry: { version: "2.0.0", dev: true, cpu: ["x64"], libc: ["musl"], optional: true, os: ["linux"] },
    },
    { folder: "node_modules/@a/cli-win32-arm64", entry: { version: "2.0.0", dev: true, ...win } },
    {
      folder: "node_modules/b/node_modules/a/node_modules/@a/cli-win32-arm64",
      entry: { version: "1.0.0", ...win },
    },
  ]);
});

test("an override stands for whatever it replaces", () => {
  const lock: LockPackages = {
    "node_modules/a": { version: "1.0.0", optionalDependencies: { "@a/linux-x64-cuda": "1.0.0" } },
    "node_modules/@a/linux-x64-cuda": { name: "empty-npm-package", version: "3.0.0" },
  };
  expect(missingPlatformPackages(lock)).toEqual([]);
});
