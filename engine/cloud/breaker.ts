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
  /** A trial that has not ended after so long counts as lost, and another may begin, in ms. */
  readonly trialMs: number;
}

export type Breaker =
  | { readonly kind: "closed"; readonly failures: number }
  | { readonly kind: "open"; readonly until: number; readonly openMs: number }
  /** One request is trying it. */
  | { readonly kind: "trial"; readonly since: number; readonly openMs: number };

export const CLOSED: Breaker = { kind: "closed", failures: 0 };

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

/** `neither`: the request says nothing of the backend's health, as where its client left. */
export type Outcome = "success" | "failure" | "neither";

export function settle(state: Breaker, outcome: Outcome, now: number, options: BreakerOptions): Breaker {
  if (outcome === "success") return CLOSED;
  switch (state.kind) {
    case "closed": {
      if (outcome === "neither") return state;
      const failures = state.failures + 1;
      if (failures < options.failuresMax) return { kind: "closed", failures };
      return { kind: "open", until: now + options.openMs, openMs: options.openMs };
    }
    // Of a request that began before it opened.
    case "open":
      return state;
    case "trial": {
      // The trial told nothing: the next request may be one.
      if (outcome === "neither") return { kind: "open", until: now, openMs: state.openMs };
      const openMs = Math.min(options.openMaxMs, state.openMs * 2);
      return { kind: "open", until: now + openMs, openMs };
    }
  }
}
