/** The real router before one generator that serves every model: all requests are public and stay where they are. */
import type { DecisionRecord } from "../../engine/core/decision-record.ts";
import type { Generator, ModelDirectory } from "../../engine/core/generator.ts";
import { RoutedGenerator } from "../../engine/routing/routed.ts";
import { Router, type RouterPorts } from "../../engine/routing/router.ts";
import { BUILT_IN_POLICY } from "../../server/policy/built-in.ts";
import type { Routing } from "../../server/ports.ts";
import { joinRouting } from "../../server/routing.ts";

export interface HouseRouting {
  readonly routing: Routing;
  readonly generator: RoutedGenerator;
  /** What was put on record, in order. */
  readonly records: DecisionRecord[];
}

export function houseRouting(
  inner: Generator,
  models: ModelDirectory,
  changes: Partial<RouterPorts> = {},
): HouseRouting {
  const records: DecisionRecord[] = [];
  const generator = new RoutedGenerator({
    backends: new Map([
      [
        "local",
        { name: "local", zone: "onprem", generate: (request, signal) => inner.generate(request, signal) },
      ],
    ]),
    inTurn: (_zone, [only]) => only as Generator,
    pseudonymise: () => undefined,
    atDoor: (decision) => decision,
    mayLeave: async () => true,
    rememberAnswer: () => undefined,
  });
  const router = new Router({
    policy: () => BUILT_IN_POLICY.policy,
    classify: async () => ({ class: "public", evidence: [], confidence: 1 }),
    backends: [],
    local: {
      autoModel: () => models.list()[0]?.name,
      isInstalled: (model) => models.find(model) !== undefined,
      isUp: () => true,
    },
    aliases: {},
    pins: { lookup: () => undefined, remember: () => undefined },
    isReleasable: async () => false,
    record: (decision) => `${records.push(decision)}-0123456789abcdef`,
    topicModel: null,
    ...changes,
  });
  return { routing: joinRouting(router, generator, []), generator, records };
}
