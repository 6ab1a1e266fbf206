/**
 * One project a kind of proof. Groups run one after the other, so that nothing else runs beside a test that measures
 * time or uses all cores; `long` runs apart (`npm run test:long`).
 */
import { defineConfig } from "vitest/config";
import { TestSummary } from "./scripts/test-summary.ts";

interface ProjectOptions {
  readonly timeoutMs: number;
  readonly group: number;
  /** One file at a time: these load models or start servers. */
  readonly serial: boolean;
}

const project = (name: string, include: string[], { timeoutMs, group, serial }: ProjectOptions) => ({
  test: {
    name,
    include,
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    fileParallelism: !serial,
    sequence: { groupOrder: group },
  },
});

export default defineConfig({
  test: {
    reporters: ["default", new TestSummary()],
    coverage: { provider: "v8", include: ["engine/**", "server/**", "models/**"] },
    projects: [
      project("unit", ["test/unit/**/*.test.ts", "test/*.test.ts"], {
        timeoutMs: 20_000,
        group: 0,
        serial: false,
      }),
      project("property", ["test/property/**/*.test.ts"], { timeoutMs: 60_000, group: 0, serial: false }),
      project("simulation", ["test/simulation/**/*.test.ts"], {
        timeoutMs: 120_000,
        group: 0,
        serial: false,
      }),
      project("contract", ["test/contract/**/*.test.ts"], { timeoutMs: 60_000, group: 0, serial: false }),
      project("worker", ["test/worker/**/*.test.ts"], { timeoutMs: 120_000, group: 1, serial: true }),
      project("conformance", ["test/conformance/**/*.test.ts"], {
        timeoutMs: 300_000,
        group: 2,
        serial: true,
      }),
      project("e2e", ["test/e2e/**/*.test.ts"], { timeoutMs: 120_000, group: 3, serial: true }),
      project("long", ["test/long/**/*.test.ts"], { timeoutMs: 1_800_000, group: 4, serial: true }),
    ],
  },
});
