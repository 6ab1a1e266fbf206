/** Bugs crash, with a sentence that says what should have held. Expected failures use WeirError instead. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new AssertionError(what);
}
