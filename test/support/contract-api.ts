/** A server of ours as the contract's tests ask it: by path, or for an answer of its model. */
import { type Answer, send } from "./http-client.ts";

export interface ContractServer {
  readonly baseUrl: string;
  /** A model that can chat and whose greedy answers have at least 8 tokens. */
  readonly model: string;
  readonly apiKey?: string;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Api {
  /** GET where there is no body, else POST. */
  call(path: string, body?: unknown): Promise<Answer>;
  /** A greedy completion. */
  complete(body: object): Promise<Answer>;
  /** A greedy answer of 8 tokens to a question. */
  chat(body: object): Promise<Answer>;
  model(): string;
}

/** Asked for with each call, because the server is not there yet when tests are declared. */
export function apiOf(server: () => ContractServer): Api {
  const model = () => server().model;
  const call: Api["call"] = (path, body) => {
    const { baseUrl, apiKey } = server();
    return send(baseUrl + path, body, {
      headers: apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` },
    });
  };
  return {
    call,
    model,
    complete: (body) => call("/v1/completions", { model: model(), temperature: 0, ...body }),
    chat: (body) =>
      call("/v1/chat/completions", {
        model: model(),
        temperature: 0,
        messages: [{ role: "user", content: "Say something" }],
        max_completion_tokens: 8,
        ...body,
      }),
  };
}
