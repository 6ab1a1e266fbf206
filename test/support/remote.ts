/** A remote generator before the cloud double, and requests for it. */
import type { Destination } from "../../engine/cloud/destination.ts";
import type { Egress, EgressPorts } from "../../engine/cloud/egress.ts";
import type { Provider } from "../../engine/cloud/providers/provider.ts";
import {
  createRemoteGenerator,
  type RemoteOptions,
  type RemotePorts,
} from "../../engine/cloud/remote-generator.ts";
import type { GenerationEvent, Generator } from "../../engine/core/generator.ts";
import type { GenerationRequest } from "../../engine/core/request.ts";
import { destinationAt, openEgress } from "./egress.ts";
import { newRequest, PLAIN, type RequestChanges } from "./requests.ts";

/** A question to `small`, changed. */
export const remoteRequest = ({ sampling, ...changes }: RequestChanges = {}): GenerationRequest =>
  newRequest({
    model: "small",
    prompt: { kind: "chat", messages: [{ role: "user", content: "What is a river?" }] },
    ...changes,
    sampling: { ...PLAIN, seed: 7, ...sampling },
  });

export interface RemoteSetup {
  readonly port: number;
  readonly provider: Provider;
  /** Behind the address: `/v1`. */
  readonly base?: string;
  readonly options?: Partial<RemoteOptions>;
  readonly ports?: Partial<RemotePorts>;
  readonly to?: Partial<Destination>;
  readonly doors?: Partial<EgressPorts>;
}

export interface RemoteSubject {
  readonly generator: Generator;
  readonly egress: Egress;
}

/** Its model `small` is the double's `vendor-small-1`; its secret is `key-1`. */
export function openRemote({ port, provider, base = "/v1", ...setup }: RemoteSetup): RemoteSubject {
  const { options = {}, ports = {} } = setup;
  const zone = options.zone ?? "cloud";
  const egress = openEgress([destinationAt(port, { zone, ...setup.to })], setup.doors);
  const generator = createRemoteGenerator(
    {
      name: "double",
      zone,
      baseUrl: `http://api.double.test:${port}${base}`,
      provider,
      models: new Map([["small", "vendor-small-1"]]),
      secret: undefined,
      requestTimeoutMs: 5000,
      answerBytesMax: 1_000_000,
      eventCharactersMax: 100_000,
      underWayMax: 64,
      retry: { attemptsMax: 1, baseMs: 1, capMs: 2, retryAfterMaxMs: 1000 },
      breaker: { failuresMax: 1000, openMs: 1000, openMaxMs: 8000, trialMs: 5000 },
      ...options,
    },
    {
      egress,
      clock: { now: () => performance.now(), wall: () => Date.now() },
      secrets: async () => "key-1",
      chance: () => 0.5,
      judge: async () => "public",
      ...ports,
    },
  );
  return { generator, egress };
}

export async function eventsOf(
  generator: Generator,
  request: GenerationRequest,
  signal: AbortSignal = AbortSignal.timeout(10_000),
): Promise<GenerationEvent[]> {
  const events: GenerationEvent[] = [];
  for await (const event of generator.generate(request, signal)) events.push(event);
  return events;
}

/** The answer's text, its calls with their arguments joined, and how it ended. */
export function sumUp(events: readonly GenerationEvent[]) {
  const calls: { id: string; name: string; arguments: string }[] = [];
  let text = "";
  for (const event of events) {
    if (event.kind === "text") text += event.text;
    if (event.kind !== "tool_call") continue;
    if (event.opening !== undefined) calls[event.index] = { ...event.opening, arguments: "" };
    const call = calls[event.index];
    if (call === undefined) throw new Error(`call ${event.index} has no opening`);
    call.arguments += event.arguments;
  }
  const last = events.at(-1);
  if (events[0]?.kind !== "started" || last?.kind !== "finished")
    throw new Error("not from started to finished");
  return { text, calls, reason: last.reason, usage: last.usage, started: events[0].promptTokens };
}
