/** A generator that knows where it runs, so that lists of them can be kept to one zone by their type. */
import type { Generator } from "../core/generator.ts";
import type { Zone } from "../core/policy.ts";

export interface ZonedGenerator<Z extends Zone> extends Generator {
  readonly zone: Z;
  /** The backend's, for logs and headers. */
  readonly name: string;
}
