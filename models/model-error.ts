/** An expected failure with models: the message says what happened, why, and what to do next. */
export class ModelError extends Error {
  override readonly name = "ModelError";
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
  }
}
