/** The real gateway and the real router, with receipts and pins on disk: the house is scripted, the cloud is the double. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { type Config, loadConfig } from "../../server/config.ts";
import type { GatewayPorts } from "../../server/ports.ts";
import { type OpenedRouting, openRouting, type RoutingPorts } from "../../server/routing.ts";
import { scanFolder, scanTexts } from "./canary.ts";
import { ScriptedGenerator, scriptedCard } from "./scripted-generator.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

export interface RoutedServer {
  readonly server: TestServer;
  readonly url: string;
  /** The scripted engine of the house; its one model is `small`. */
  readonly house: ScriptedGenerator;
  readonly config: Config;
  readonly opened: OpenedRouting;
  readonly home: string;
  /** Of the router and the classifier, beside the server's own. */
  readonly log: string[];
  [Symbol.asyncDispose](): Promise<void>;
}

export interface RoutedServerSetup {
  /** Backends as in weir.yaml. */
  readonly backends?: Readonly<Record<string, object>>;
  /** Further sections of weir.yaml. */
  readonly settings?: Readonly<Record<string, object>>;
  /** policy.yaml, as text or as what it holds; the one that comes with weir where absent. */
  readonly policy?: string | object;
  readonly ports?: Partial<GatewayPorts>;
  readonly routing?: Partial<RoutingPorts>;
  /** Kept by whoever gives it; otherwise made, and removed at the end. */
  readonly home?: string;
}

/** A backend of weir.yaml that is the double at the port, under a name that only the test's resolver knows. */
export const doubleBackend = (port: number, changes: object = {}): object => ({
  zone: "cloud",
  kind: "openai",
  url: `http://api.double.test:${port}/v1`,
  plaintext: true,
  ranges: ["127.0.0.0/8"],
  models: { large: "vendor-large-1" },
  headers_timeout_ms: 1000,
  idle_timeout_ms: 1000,
  attempts_max: 2,
  ...changes,
});

export async function startRoutedServer(setup: RoutedServerSetup = {}): Promise<RoutedServer> {
  const home = setup.home ?? mkdtempSync(join(tmpdir(), "weir-routed-"));
  const file = join(home, "weir.yaml");
  const policyFile = setup.policy === undefined ? {} : { routing: { policy_file: "policy.yaml" } };
  if (setup.policy !== undefined)
    writeFileSync(
      join(home, "policy.yaml"),
      typeof setup.policy === "string" ? setup.policy : stringify(setup.policy),
    );
  const settings = { backends: setup.backends ?? {}, ...setup.settings };
  const routing = { retry_ms: 1, ...setup.settings?.["routing"], ...policyFile.routing };
  writeFileSync(file, stringify({ ...settings, routing }));
  const config = loadConfig({ env: { WEIR_HOME: home, WEIR_CONFIG: file }, cwd: home });
  const house = new ScriptedGenerator([scriptedCard("small")]);
  const log: string[] = [];
  const say = (level: string) => (fields: object, message: string) =>
    void log.push(JSON.stringify({ level, message, ...fields }));
  const opened = await openRouting(config, {
    clock: { now: () => performance.now(), wall: () => Date.now() },
    chance: () => 0.5,
    pinTableBytes: 65_536,
    resolve: async () => ["127.0.0.1"],
    log: { info: say("info"), warn: say("warn"), error: say("error") },
    onFault: (fault) => void log.push(`fault ${fault}`),
    local: {
      autoModel: () => "small",
      isInstalled: (model) => model === "small",
      isUp: () => true,
      generator: {
        name: "local",
        zone: "onprem",
        generate: (request, signal) => house.generate(request, signal),
      },
    },
    ...setup.routing,
  });
  const server = await startTestServer({
    generator: house,
    ports: { generator: opened.generator, routing: opened.routing, ...setup.ports },
  });
  return {
    server,
    url: server.baseUrl,
    house,
    config,
    opened,
    home,
    log,
    async [Symbol.asyncDispose]() {
      const metrics = await server.metrics();
      await server[Symbol.asyncDispose]();
      await opened.close();
      scanTexts("a metric", [metrics]);
      scanTexts("the router's log", log);
      scanFolder(home, ["policy.yaml", "weir.yaml"]);
      if (setup.home === undefined) rmSync(home, { recursive: true, force: true });
    },
  };
}
