/** The contract, held by the gateway in front of a generator without a model. */
import { ScriptedGenerator, scriptedCard } from "../support/scripted-generator.ts";
import { startTestServer } from "../support/test-server.ts";
import { contractSuite } from "./contract-suite.ts";

contractSuite("the gateway before a scripted generator", async () => {
  const generator = new ScriptedGenerator([scriptedCard("vendor/scripted-1")]);
  generator.behave = () => ({ neverEnds: true });
  const server = await startTestServer({ generator });
  return {
    baseUrl: server.baseUrl,
    model: "vendor/scripted-1",
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
});
