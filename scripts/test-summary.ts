/**
 * A vitest reporter: after the runner's own summary it prints the wall time of each project, and as the very last line
 * `N passed, N failed, N skipped`, which `.ci/run` and people read without knowing the runner.
 */
import type { Reporter, TestModule } from "vitest/node";

interface Span {
  startMs: number;
  endMs: number;
  files: number;
}

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** A file that could not be loaded, a hook that failed and an unhandled error each count as one failure. */
export function countResults(modules: readonly TestModule[], unhandled: number): Counts {
  let passed = 0;
  let failed = unhandled;
  let skipped = 0;
  for (const module of modules) {
    let failedHere = 0;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === "passed") passed += 1;
      else if (state === "failed") failedHere += 1;
      else skipped += 1;
    }
    failed += failedHere === 0 && module.state() === "failed" ? 1 : failedHere;
  }
  return { passed, failed, skipped };
}

export const closingLine = (counts: Counts): string =>
  `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;

export class TestSummary implements Reporter {
  readonly #spans = new Map<string, Span>();

  onTestModuleStart(module: TestModule): void {
    const now = performance.now();
    const span = this.#spans.get(module.project.name);
    if (span === undefined) this.#spans.set(module.project.name, { startMs: now, endMs: now, files: 1 });
    else span.files += 1;
  }

  onTestModuleEnd(module: TestModule): void {
    const span = this.#spans.get(module.project.name);
    if (span !== undefined) span.endMs = performance.now();
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    for (const [name, span] of this.#spans) {
      const seconds = ((span.endMs - span.startMs) / 1000).toFixed(1).padStart(7);
      console.log(`${name.padStart(13)} ${seconds} s  ${span.files} file${span.files === 1 ? "" : "s"}`);
    }
    console.log(closingLine(countResults(modules, unhandled.length)));
  }
}
