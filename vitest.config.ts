import { defineConfig } from "vitest/config";

/** One project a kind of proof; `long` runs apart (`npm run test:long`). */
const project = (name: string, include: string[], timeoutMs: number, serial = false) => ({
  test: { name, include, testTimeout: timeoutMs, hookTimeout: timeoutMs, fileParallelism: !serial },
});

export default defineConfig({
  test: {
    projects: [
      project("unit", ["test/unit/**/*.test.ts", "test/*.test.ts"], 20_000),
      project("property", ["test/property/**/*.test.ts"], 60_000),
      project("simulation", ["test/simulation/**/*.test.ts"], 120_000),
      project("contract", ["test/contract/**/*.test.ts"], 60_000),
      project("worker", ["test/worker/**/*.test.ts"], 120_000, true),
      project("conformance", ["test/conformance/**/*.test.ts"], 300_000, true),
      project("e2e", ["test/e2e/**/*.test.ts"], 120_000, true),
      project("long", ["test/long/**/*.test.ts"], 1_800_000, true),
    ],
  },
});
