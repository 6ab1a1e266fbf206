/** How long a text /tokenize takes, and how many tokens /detokenize: the gateway refuses what would hold up all streams while it is encoded. */
import { expect, test } from "vitest";
import { CHARACTERS_PER_TOKEN_MAX } from "../../../engine/core/request.ts";
import { send } from "../../support/http-client.ts";
import { ScriptedGenerator, scriptedCard } from "../../support/scripted-generator.ts";
import { startTestServer } from "../../support/test-server.ts";

const CONTEXT = 32;
const LIMIT = CHARACTERS_PER_TOKEN_MAX * CONTEXT;

test.each(["prompt", "content"])(
  "a text at the bound is tokenized; one more character in '%s' is refused before",
  async (field) => {
    const generator = new ScriptedGenerator([scriptedCard("small", { contextLength: CONTEXT })]);
    const seen: number[] = [];
    const tokenize = generator.tokenize.bind(generator);
    generator.tokenize = (model, text) => {
      seen.push(text.length);
      return tokenize(model, text);
    };
    await using served = await startTestServer({ generator });
    const ask = (length: number) => send(`${served.baseUrl}/tokenize`, { [field]: "a".repeat(length) });
    expect(await ask(LIMIT)).toMatchObject({ status: 200, json: { count: LIMIT } });
    const refused = await ask(LIMIT + 1);
    expect(refused).toMatchObject({
      status: 400,
      json: { error: { param: field, code: "invalid_request" } },
    });
    expect(refused.json.error.message).toMatch(
      new RegExp(`${LIMIT + 1} characters.* takes ${LIMIT} at once`),
    );
    expect(seen).toEqual([LIMIT]);
  },
);

test("as many tokens as such a text can have are detokenized; one more is refused before", async () => {
  const generator = new ScriptedGenerator([scriptedCard("small", { contextLength: CONTEXT })]);
  await using served = await startTestServer({ generator });
  const ask = (count: number) =>
    send(`${served.baseUrl}/detokenize`, { tokens: Array.from({ length: count }, () => 97) });
  expect(await ask(LIMIT)).toMatchObject({ status: 200, json: { prompt: "a".repeat(LIMIT) } });
  expect(await ask(LIMIT + 1)).toMatchObject({
    status: 400,
    json: { error: { param: "tokens", message: expect.stringContaining(`takes ${LIMIT} at once`) } },
  });
});
