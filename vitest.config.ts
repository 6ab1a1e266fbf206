/**
 * One project a kind of proof. Groups run one after the other, so that nothing else runs beside a test that measures
 * time or uses all cores; `long` runs apart (`npm run test:long`).
 */
import { defineConfig } from "vitest/config";
import { TestSummary } from "./scripts/test-summary.ts";

interface ProjectOptions {
  readonly timeoutMs: number;
  /** Groups run in this order, one at a time. Counted from 1: vitest gives 0 a meaning of its own. */
  readonly group: number;
  /** `most`: vitest's choice, which leaves a core free. `one`: these load models, start servers or measure time. */
  readonly cores: "most" | "one";
}

const project = (name: string, { timeoutMs, group, cores }: ProjectOptions, ...more: string[]) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`, ...more],
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    ...(cores === "one" ? { maxWorkers: 1 } : {}),
    sequence: { groupOrder: group },
  },
});

export default defineConfig({
  test: {
    reporters: ["default", new TestSummary()],
    coverage: { provider: "v8", include: ["engine/**", "server/**", "models/**"] },
    projects: [
      project("unit", { timeoutMs: 20_000, group: 1, cores: "most" }, "test/*.test.ts"),
      project("property", { timeoutMs: 60_000, group: 1, cores: "most" }),
      project("simulation", { timeoutMs: 120_000, group: 1, cores: "most" }),
      project("contract", { timeoutMs: 60_000, group: 2, cores: "one" }),
      project("worker", { timeoutMs: 120_000, group: 3, cores: "one" }),
      project("conformance", { timeoutMs: 300_000, group: 4, cores: "one" }),
      project("e2e", { timeoutMs: 120_000, group: 5, cores: "one" }),
      project("long", { timeoutMs: 1_800_000, group: 6, cores: "one" }),
    ],
  },
});
