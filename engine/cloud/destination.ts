/** Where a backend may be reached, and how long it may take: what the doors know of it. */
import type { Zone } from "../core/policy.ts";

export interface Destination {
  readonly name: string;
  readonly zone: Zone;
  /** `api.example.com` or `10.1.2.3:8000`; no other host is ever asked. */
  readonly hosts: readonly string[];
  /** True: http is allowed too. Otherwise only https. */
  readonly plaintext: boolean;
  /**
   * Ranges such as `10.1.0.0/16` that its addresses may lie in as well. Without them a cloud backend's must be on the
   * internet (a private endpoint needs its range here), and an on-prem one's inside (a site with public addresses too).
   */
  readonly ranges: readonly string[];
  /** Address of a proxy, which then looks up the host; none is ever taken from the environment. */
  readonly proxy: string | undefined;
  /** Certificates to trust instead of the usual ones, as PEM. */
  readonly ca: string | undefined;
  readonly connectTimeoutMs: number;
  /** From the request to the answer's first line. */
  readonly headersTimeoutMs: number;
  /** Between two parts of the answer. */
  readonly idleTimeoutMs: number;
  readonly connectionsMax: number;
}
