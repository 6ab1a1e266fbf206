/** Doors to the cloud double: its port under the name of a host, whose address a scripted resolver gives. */
import type { Destination } from "../../engine/cloud/destination.ts";
import { createEgress, type Egress, type EgressPorts } from "../../engine/cloud/egress.ts";

const LOOPBACK = ["127.0.0.0/8"];

/** A cloud backend whose host is `api.double.test` at the port; its address may be a loopback one. */
export const destinationAt = (port: number, changes: Partial<Destination> = {}): Destination => ({
  name: "double",
  zone: "cloud",
  hosts: [`api.double.test:${port}`],
  plaintext: true,
  ranges: LOOPBACK,
  proxy: undefined,
  ca: undefined,
  connectTimeoutMs: 2000,
  headersTimeoutMs: 2000,
  idleTimeoutMs: 2000,
  connectionsMax: 8,
  ...changes,
});

export const openEgress = (
  destinations: readonly Destination[],
  ports: Partial<EgressPorts> = {},
  scanTimeoutMs = 500,
): Egress =>
  createEgress(
    { destinations, webhook: undefined, webhookUrl: undefined, scanTimeoutMs },
    { scan: async () => "public", resolve: async () => ["127.0.0.1"], ...ports },
  );
