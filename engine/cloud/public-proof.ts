/**
 * The key to the cloud door. A proof is bound to the digest of the very bytes that will be sent, and `provePublic` is the
 * only function that makes one: the type cannot be written down elsewhere, and a forged object is not in the register.
 */
import { createHash } from "node:crypto";
import type { DataClass } from "../core/data-class.ts";
import { WeirError } from "../core/errors.ts";

declare const proven: unique symbol;

export interface PublicProof {
  readonly [proven]: "public";
}

const register = new WeakMap<object, string>();

/** `judged`: the class of the request that these bytes came from. Throws `egress_refused` for any but public. */
export function provePublic(bytes: Uint8Array, judged: DataClass): PublicProof {
  if (judged !== "public") {
    throw new WeirError(
      "egress_refused",
      "The request was not judged public, so nothing of it may be sent to a cloud backend.",
    );
  }
  const proof = Object.freeze({});
  register.set(proof, digestOf(bytes));
  return proof as PublicProof;
}

/** True where `proof` was made for exactly these bytes. */
export const proves = (proof: PublicProof, bytes: Uint8Array): boolean =>
  register.get(proof) === digestOf(bytes);

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
