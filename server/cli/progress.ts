/** Shows how far a long command is: a bar where a person watches, a few lines elsewhere. */
import { SingleBar } from "cli-progress";
import type { Terminal } from "./terminal.ts";

export interface ProgressView {
  readonly update: (done: number, total: number, what: string) => void;
  stop(): void;
}

/** Without a person, a line at each of these shares. */
const LINES_AT = [0.25, 0.5, 0.75, 1];

export const createProgress = (terminal: Terminal): ProgressView =>
  terminal.interactive ? bars() : lines(terminal);

/** Totals in bytes are large; small ones count steps. */
const amount = (value: number, total: number): string =>
  total < 1000 ? String(value) : `${(value / 1e6).toFixed(value < 1e8 ? 1 : 0)} MB`;

function bars(): ProgressView {
  let bar: SingleBar | undefined;
  let barTotal = -1;
  const stop = (): void => {
    bar?.stop();
    bar = undefined;
  };
  return {
    stop,
    update: (done, total, what) => {
      if (bar === undefined || total !== barTotal) {
        stop();
        bar = new SingleBar({
          format: "{what} [{bar}] {percentage} %  {done} of {all}",
          hideCursor: null,
          barsize: 30,
          fps: 5,
        });
        bar.start(total, done, { what, done: amount(done, total), all: amount(total, total) });
        barTotal = total;
      }
      bar.update(done, { what, done: amount(done, total) });
    },
  };
}

function lines(terminal: Terminal): ProgressView {
  let lastTotal = -1;
  let next = 0;
  return {
    stop: () => undefined,
    update: (done, total, what) => {
      if (total !== lastTotal) {
        lastTotal = total;
        next = 0;
      }
      const share = total === 0 ? 1 : done / total;
      const reached = LINES_AT.findLastIndex((at) => share >= at);
      if (reached < next) return;
      next = reached + 1;
      terminal.err(`${what}: ${Math.floor(share * 100)} % of ${amount(total, total)}`);
    },
  };
}
