/** Plain HTTP for tests: JSON in and out, and server-sent events as a list. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers are judged by schemas, the tests only pick fields
  readonly json: any;
}

export async function send(
  url: string,
  body?: unknown,
  init: Omit<RequestInit, "body" | "headers"> & { headers?: Record<string, string> } = {},
): Promise<Answer> {
  const answer = await fetch(url, {
    method: body === undefined ? "GET" : "POST",
    ...init,
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...init.headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await answer.text();
  const isJson = answer.headers.get("content-type")?.includes("json") === true && text !== "";
  return {
    status: answer.status,
    headers: answer.headers,
    text,
    json: isJson ? JSON.parse(text) : undefined,
  };
}

// biome-ignore lint/suspicious/noExplicitAny: as above
export type Chunk = any;

/** The chunks of a stream, without [DONE]; throws where the text is not a well-formed event stream that ends in [DONE]. */
export function chunksOf(text: string, ending: "done" | "cut" = "done"): Chunk[] {
  if (!text.endsWith("\n\n")) throw new Error("the stream does not end with a whole event");
  const events = text
    .slice(0, -2)
    .split("\n\n")
    .filter((event) => !event.startsWith(":"));
  const data = events.map((event) => {
    if (!event.startsWith("data: ") || event.includes("\n"))
      throw new Error(`not a data event: ${event.slice(0, 80)}`);
    return event.slice("data: ".length);
  });
  if (ending === "done" && data.pop() !== "[DONE]") throw new Error("the stream does not end in [DONE]");
  return data.map((line) => JSON.parse(line));
}
