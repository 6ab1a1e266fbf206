/** Parameters: which are refused, which are ignored, and how the server says so. */
import { expect, test } from "vitest";
import type { Api } from "../support/contract-api.ts";
import { conforms } from "../support/openai-schema.ts";
import { badRequests } from "./bad-requests.ts";

export function parameterTests({ call, model }: Api): void {
  test.each(badRequests)("$name is refused with $status and names $param", async (bad) => {
    const body = bad.raw ?? { model: model(), ...bad.body };
    const answer = await call(bad.path, body);
    conforms("ErrorResponse", answer.json);
    expect({ status: answer.status, param: answer.json.error.param, code: answer.json.error.code }).toEqual({
      status: bad.status,
      param: bad.param,
      code: bad.code ?? "invalid_request",
    });
    expect(answer.json.error.message).toMatch(bad.message ?? /./);
    expect(answer.headers.get("x-request-id")).toMatch(/^[\x21-\x7e]+$/);
    expect(answer.headers.get("x-should-retry")).toBe("false");
  });

  test("values that ask for what is done anyway get no warning, others do", async () => {
    const ask = (more: object) =>
      call("/v1/completions", { model: model(), prompt: "a", max_tokens: 1, ...more });
    const quiet = { store: false, service_tier: "auto", metadata: {}, safety_identifier: "s" };
    expect((await ask(quiet)).headers.get("warning")).toBeNull();
    const loud = { store: true, service_tier: "flex", parallel_tool_calls: false, tools: [] };
    expect((await ask(loud)).headers.get("warning")).toBe(
      '299 weir "ignored parameters: store, service_tier, parallel_tool_calls, tools"',
    );
  });

  test("unknown parameters are ignored, with a warning that names them", async () => {
    const body = {
      model: model(),
      prompt: "a",
      max_tokens: 1,
      "frobnicate\u{1F300}": 1,
      mirostat: 2,
      user: "u",
    };
    const answer = await call("/v1/completions", body);
    expect(answer.status).toBe(200);
    const streamed = await call("/v1/completions", { ...body, stream: true });
    for (const { headers } of [answer, streamed]) {
      expect(headers.get("warning")).toBe('299 weir "ignored parameters: frobnicate??, mirostat"');
    }
  });
}
