/** What SIGHUP means: a wish to reload, or the end of the terminal that weir was started from. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LOOK_AGAIN_MS, onHangUp, watchTerminal } from "../../server/hang-up.ts";

let said: string[];
beforeEach(() => {
  said = [];
  vi.useFakeTimers();
});
afterEach(() => void vi.useRealTimers());
const actions = { reload: () => void said.push("reload"), hungUp: () => void said.push("hung up") };

function terminal(stdin: boolean, open: boolean) {
  const state = { stdin, open };
  const probe = { stdinIsTerminal: () => state.stdin, canOpen: () => state.open };
  return { state, signal: onHangUp(watchTerminal(probe), actions) };
}

test.each([
  ["a service", false, false],
  ["a process of a shell whose input is a file", false, true],
  ["a process whose terminal is not its own", true, false],
])("%s reloads, whatever becomes of terminals", (_, stdin, open) => {
  const { state, signal } = terminal(stdin, open);
  signal();
  Object.assign(state, { stdin: false, open: false });
  signal();
  vi.advanceTimersByTime(2 * LOOK_AGAIN_MS);
  expect(said).toEqual(["reload", "reload"]);
});

test("a process in a terminal reloads while it is there", () => {
  const { signal } = terminal(true, true);
  signal();
  vi.advanceTimersByTime(2 * LOOK_AGAIN_MS);
  expect(said).toEqual(["reload"]);
});

test.each([
  ["can no longer be opened", { open: false }],
  ["no longer answers as standard input", { stdin: false }],
])("a process whose terminal %s stops", (_, change) => {
  const { state, signal } = terminal(true, true);
  Object.assign(state, change);
  signal();
  expect(said).toEqual(["hung up"]);
});

test("a terminal that goes a moment after the signal is seen too", () => {
  const { state, signal } = terminal(true, true);
  signal();
  state.open = false;
  vi.advanceTimersByTime(LOOK_AGAIN_MS);
  expect(said).toEqual(["reload", "hung up"]);
});
