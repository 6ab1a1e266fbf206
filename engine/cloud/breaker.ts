/**
 * Stops asking a backend that keeps failing, and lets one request try it from time to time. Pure: a state goes in and one
 * comes out, and the clock is an argument.
 */

export interface BreakerOptions {
  /** Failures without a success between them that open it. */
  readonly failuresMax: number;
  /** How long it stays open at first; twice as long after each trial that failed, in ms. */
  readonly openMs: number;
  readonly openMaxMs: number;
  /** A trial whose answer has not begun after so long counts as lost, and another may be made, in ms. */
  readonly trialMs: number;
}

export type Breaker =
  /** `openMs`: how long it was open last; 0 where an answer has been complete since then. */
  | { readonly kind: "closed"; readonly failures: number; readonly openMs: number }
  | { readonly kind: "open"; readonly until: number; readonly openMs: number }
  /** One request is trying it. */
  | { readonly kind: "trial"; readonly since: number; readonly openMs: number };

export const CLOSED: Breaker = { kind: "closed", failures: 0, openMs: 0 };

export type Admission =
  | { readonly kind: "go"; readonly state: Breaker }
  | { readonly kind: "wait"; readonly retryAfterMs: number };

/** Whether a request may ask the backend at `now`. After `go`, tell how it ended by `settle`. */
export function admit(state: Breaker, now: number, options: BreakerOptions): Admission {
  switch (state.kind) {
    case "closed":
      return { kind: "go", state };
    case "open":
      if (now < state.until) return { kind: "wait", retryAfterMs: state.until - now };
      return { kind: "go", state: { kind: "trial", since: now, openMs: state.openMs } };
    case "trial": {
      const lostAt = state.since + options.trialMs;
      if (now < lostAt) return { kind: "wait", retryAfterMs: lostAt - now };
      return { kind: "go", state: { ...state, since: now } };
    }
  }
}

/**
 * `begun`: the first part of the answer is there; how it ends is told by another call. `neither`: the request says nothing
 * of the backend's health, as where its client left.
 */
export type Outcome = "begun" | "success" | "failure" | "neither";

export function settle(state: Breaker, outcome: Outcome, now: number, options: BreakerOptions): Breaker {
  if (outcome === "success") return CLOSED;
  switch (state.kind) {
    case "closed": {
      if (outcome !== "failure") return state;
      const failures = state.failures + 1;
      return failures < options.failuresMax ? { ...state, failures } : opened(state.openMs, now, options);
    }
    // Of a request that began before it opened.
    case "open":
      return state;
    case "trial":
      // An answer may take minutes, and nobody waits for its end. Until one is complete, a single failure opens it again.
      if (outcome === "begun")
        return { kind: "closed", failures: options.failuresMax - 1, openMs: state.openMs };
      // The trial told nothing: the next request may be one.
      if (outcome === "neither") return { kind: "open", until: now, openMs: state.openMs };
      return opened(state.openMs, now, options);
  }
}

/** `lastMs`: how long it was open before, without a complete answer since then. */
function opened(lastMs: number, now: number, { openMs: firstMs, openMaxMs }: BreakerOptions): Breaker {
  const openMs = lastMs === 0 ? firstMs : Math.min(openMaxMs, lastMs * 2);
  return { kind: "open", until: now + openMs, openMs };
}
