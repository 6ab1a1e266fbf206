/** Time is an argument: the real clock in the composition root, a fake one in tests. */
export interface Clock {
  /** Monotonic milliseconds with fractions; only differences mean anything. */
  now(): number;
  /** Milliseconds since 1970-01-01 UTC. */
  wall(): number;
}
