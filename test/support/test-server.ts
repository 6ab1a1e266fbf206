/** The real gateway on a real socket in front of the scripted generator: on 127.0.0.1, at a port of the system's choice. */
import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import { createMetrics } from "../../engine/metering/metrics.ts";
import { buildApp } from "../../server/app.ts";
import { createLogger } from "../../server/plugins/logger.ts";
import { type GatewayOptions, type GatewayPorts, type Readiness, unlimited } from "../../server/ports.ts";
import { RateLimits } from "../../server/rate-limits.ts";
import { scanTexts } from "./canary.ts";
import { houseRouting } from "./routing.ts";
import { ScriptedGenerator } from "./scripted-generator.ts";

const testOptions: GatewayOptions = {
  version: "0.0.0",
  device: "cpu",
  bodyBytesMax: 1_000_000,
  headerBytesMax: 16_384,
  connectionsMax: 1000,
  headersTimeoutMs: 10_000,
  receiveTimeoutMs: 20_000,
  keepAliveTimeoutMs: 5000,
  stalledClientTimeoutMs: 10_000,
  streamKeepAliveMs: 15_000,
  choicesMax: 8,
  promptsMax: 16,
  generationsMax: 32,
  messagesMax: 100,
};

export interface TestServer {
  readonly app: FastifyInstance;
  readonly baseUrl: string;
  readonly generator: ScriptedGenerator;
  /** Log lines so far. */
  readonly log: readonly string[];
  readiness: Readiness;
  /** As /metrics has them. */
  metrics(): Promise<string>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface TestServerSetup {
  readonly generator?: ScriptedGenerator;
  readonly ports?: Partial<GatewayPorts>;
  readonly options?: Partial<GatewayOptions>;
}

export async function startTestServer(setup: TestServerSetup = {}): Promise<TestServer> {
  const generator = setup.generator ?? new ScriptedGenerator();
  const log: string[] = [];
  const clock = { now: () => performance.now(), wall: () => Date.now() };
  const state: { readiness: Readiness } = { readiness: { kind: "ready" } };
  let ids = 0;
  const laneStats = () =>
    generator.list().map((card) => ({
      model: card.name,
      running: generator.calls.filter((call) => call.ended === "running").length,
      waiting: 0,
      kvUsage: 0.25,
      slots: 4,
      slotTokens: 2048,
    }));
  const house = houseRouting(generator, generator);
  const app = await buildApp(
    {
      generator: house.generator,
      routing: house.routing,
      limits: new RateLimits(clock),
      models: generator,
      clock,
      metrics:
        setup.ports?.metrics ??
        createMetrics(
          { clock, laneStats, ready: () => state.readiness.kind === "ready", backends: () => [] },
          { version: "0.0.0" },
        ),
      readiness: () => state.readiness,
      access: { kind: "open", principal: unlimited("local", undefined) },
      newRequestId: () => {
        ids += 1;
        return `req-${ids}`;
      },
      randomSeed: () => Math.floor(Math.random() * 2 ** 53),
      logger: createLogger({ level: "debug" }, { write: (line: string) => void log.push(line) }),
      ...setup.ports,
    },
    { ...testOptions, ...setup.options },
  );
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return {
    app,
    baseUrl: `http://127.0.0.1:${port}`,
    generator,
    log,
    metrics: async () => (await app.inject({ url: "/metrics", headers: { host: "localhost" } })).body,
    get readiness() {
      return state.readiness;
    },
    set readiness(value: Readiness) {
      state.readiness = value;
    },
    async [Symbol.asyncDispose]() {
      app.server.closeAllConnections();
      await app.close();
      scanTexts("the log", log);
    },
  };
}
