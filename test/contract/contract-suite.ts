/**
 * What any server of ours must do over HTTP, whatever generates behind it: run it with a function that makes a server.
 * Answers, chunks and errors are judged by OpenAI's own schemas.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { apiOf, type ContractServer } from "../support/contract-api.ts";
import { complaints, openaiSchemaAvailable } from "../support/openai-schema.ts";
import { chatTests } from "./contract-chats.ts";
import { choiceTests, completionTests } from "./contract-completions.ts";
import { modelTests, tokenTests } from "./contract-models.ts";
import { parameterTests } from "./contract-parameters.ts";

export function contractSuite(title: string, makeServer: () => Promise<ContractServer>): void {
  describe(title, () => {
    let server: ContractServer;
    beforeAll(async () => {
      server = await makeServer();
    });
    afterAll(async () => {
      await server[Symbol.asyncDispose]();
    });
    const api = apiOf(() => server);

    test.skipIf(!openaiSchemaAvailable)(
      "OpenAI's schemas judge strictly (skipped: ../shared is absent)",
      async () => {
        const { json } = await api.chat({});
        expect(complaints("CreateChatCompletionResponse", json)).toEqual([]);
        expect(complaints("CreateChatCompletionResponse", { ...json, extra: 1 })).not.toEqual([]);
        const [choice] = json.choices;
        const without = { ...choice, message: { ...choice.message, refusal: undefined } };
        const odd = { ...choice, message: { ...choice.message, mood: "fine" } };
        for (const wrong of [JSON.parse(JSON.stringify(without)), odd, { ...choice, index: "0" }]) {
          expect(complaints("CreateChatCompletionResponse", { ...json, choices: [wrong] })).not.toEqual([]);
        }
      },
    );
    completionTests(api);
    choiceTests(api);
    chatTests(api);
    tokenTests(api);
    modelTests(api);
    parameterTests(api);
  });
}
