/**
 * Whether the terminal that weir was started from is gone. SIGHUP has two meanings: a person or a tool asks to reload, or
 * the terminal was closed. A server that took the second for the first would go on as an orphan that nobody sees.
 */
import { closeSync, openSync } from "node:fs";
import { isatty } from "node:tty";

export interface TerminalWatch {
  /** Never true for a process that had no terminal when it was started: a service, a container, `nohup`. */
  isGone(): boolean;
}

export interface TerminalProbe {
  /** Whether standard input is a terminal. */
  stdinIsTerminal(): boolean;
  /** Whether the process has a terminal that can be opened. */
  canOpen(): boolean;
}

/** Looks at once, so that `isGone` can tell "no longer" from "never". */
export function watchTerminal(probe: TerminalProbe = system): TerminalWatch {
  const hadOne = probe.stdinIsTerminal() && probe.canOpen();
  return { isGone: () => hadOne && !(probe.stdinIsTerminal() && probe.canOpen()) };
}

/** The system may take the terminal away a moment after it has sent the signal: so long to look again, in ms. */
export const LOOK_AGAIN_MS = 500;

/** What SIGHUP means is decided here: `hungUp` at once or a moment later, else `reload`. */
export function onHangUp(terminal: TerminalWatch, actions: { reload(): void; hungUp(): void }): () => void {
  return () => {
    if (terminal.isGone()) return actions.hungUp();
    actions.reload();
    setTimeout(() => {
      if (terminal.isGone()) actions.hungUp();
    }, LOOK_AGAIN_MS).unref();
  };
}

const system: TerminalProbe = {
  stdinIsTerminal: () => isatty(0),
  canOpen: () => {
    try {
      closeSync(openSync("/dev/tty", "r"));
      return true;
    } catch {
      return false;
    }
  },
};
