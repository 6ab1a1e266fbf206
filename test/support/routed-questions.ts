/** Questions to a routed server, public and private ones, and what its answers say of where they ran. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { send } from "./http-client.ts";
import type { RoutedServer } from "./routed-server.ts";

export const PUBLIC = "What is the capital of Norway?";
export const PRIVATE =
  "CANARYLina, resident id 11010519491231002X, was given a written warning and earns 18,000 yuan a month.";
export const chat = (content: string, more: object = {}) => ({
  messages: [{ role: "user", content }],
  ...more,
});
export const ask = (place: RoutedServer, body: object, headers: Record<string, string> = {}) =>
  send(`${place.url}/v1/chat/completions`, body, { headers });
export const said = ({ headers }: { headers: Headers }) =>
  ["class", "zone", "backend"].map((name) => headers.get(`x-weir-${name}`));
export const receiptsOf = (place: RoutedServer) =>
  readFileSync(join(place.home, "receipts", "receipts.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
