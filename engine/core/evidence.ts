/** Why a request has its class, in words that may be logged: which rule spoke, and where. */
import type { DataClass } from "./data-class.ts";

/** One vote. It never holds text of the request: a rule's id, and a pointer to the place. */
export interface Evidence {
  /** Id of the rule, such as `id.cn-resident`. */
  readonly rule: string;
  readonly class: DataClass;
  /** JSON Pointer (RFC 6901) into the request body, of names of the interface alone (pointer.ts); "" is the whole body. */
  readonly where: string;
}
