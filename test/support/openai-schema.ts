/**
 * OpenAI's own schemas as a strict judge of our answers: a key that they do not name fails, but for the extensions listed
 * here. Where OpenAI's server departs from its own description, and clients depend on that, the departure is listed too.
 */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Ajv2020 } from "ajv/dist/2020.js";
import { expect } from "vitest";

const FILE = fileURLToPath(new URL("../../../shared/data/openai-openapi/openapi.json", import.meta.url));

/** False where ../shared is absent: tests that need it skip by name. */
export const openaiSchemaAvailable: boolean = existsSync(FILE);

type Json = { [key: string]: unknown };

export type Judged =
  | "CreateCompletionResponse"
  | "CompletionChunk"
  | "CreateChatCompletionResponse"
  | "CreateChatCompletionStreamResponse"
  | "Model"
  | "ListModelsResponse"
  | "ErrorResponse";

const INTEGERS = { type: "array", items: { type: "integer" } };
const META = { type: "object", required: ["n_vocab", "context_length"] };

/** Our own keys, by schema and path to its properties. */
const EXTENSIONS: readonly (readonly [schema: string, path: string, key: string, value: Json])[] = [
  ["Model", "", "meta", META],
  ["CreateCompletionResponse", "choices.items", "token_ids", INTEGERS],
  ["CreateCompletionResponse", "choices.items", "prompt_token_ids", INTEGERS],
  ["CreateChatCompletionResponse", "", "prompt_token_ids", INTEGERS],
  ["CreateChatCompletionResponse", "choices.items", "token_ids", INTEGERS],
  ["CreateChatCompletionStreamResponse", "", "prompt_token_ids", INTEGERS],
  ["CreateChatCompletionStreamResponse", "choices.items", "token_ids", INTEGERS],
];

/**
 * What OpenAI's server sends although its description says otherwise: a completion's chunk has no finish_reason and (with
 * include_usage) no usage yet; the first token of an echoed prompt has no log-probability.
 */
const NULLABLE: readonly (readonly [schema: string, path: string])[] = [
  ["CompletionChunk", "choices.items.finish_reason"],
  ["CompletionChunk", "usage"],
  ["CompletionChunk", "choices.items.logprobs.anyOf.0.token_logprobs.items"],
  ["CompletionChunk", "choices.items.logprobs.anyOf.0.top_logprobs.items"],
  ["CreateCompletionResponse", "choices.items.logprobs.anyOf.0.token_logprobs.items"],
  ["CreateCompletionResponse", "choices.items.logprobs.anyOf.0.top_logprobs.items"],
];

let judge: ((name: Judged, value: unknown) => readonly string[]) | undefined;

/** What is wrong with a value, in ajv's words; empty where it conforms. */
export function complaints(name: Judged, value: unknown): readonly string[] {
  judge ??= createJudge();
  return judge(name, value);
}

/** Fails where a value does not conform; passes where ../shared is absent. */
export const conforms = (name: Judged, value: unknown): void => {
  if (openaiSchemaAvailable) expect(complaints(name, value), name).toEqual([]);
};

function createJudge() {
  const document = JSON.parse(readFileSync(FILE, "utf8")) as {
    components: { schemas: Record<string, Json> };
  };
  const { schemas } = document.components;
  schemas["CompletionChunk"] = structuredClone(schemas["CreateCompletionResponse"]) as Json;
  for (const [schema, path, key, value] of EXTENSIONS) {
    for (const name of schema === "CreateCompletionResponse" ? [schema, "CompletionChunk"] : [schema]) {
      propertiesOf(find(schemas[name], path))[key] = value;
    }
  }
  for (const [schema, path] of NULLABLE) {
    const target = find(schemas[schema], path);
    const copy = { ...target };
    for (const key of Object.keys(target)) delete target[key];
    target["anyOf"] = [copy, { type: "null" }];
  }
  const strict = {
    components: { schemas: Object.fromEntries(Object.entries(schemas).map(([k, v]) => [k, close(v)])) },
  };
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
  ajv.addSchema(strict, "openai");
  return (name: Judged, value: unknown): readonly string[] => {
    const validate = ajv.getSchema(`openai#/components/schemas/${name}`);
    if (validate === undefined) throw new Error(`OpenAI's description has no ${name}`);
    if (validate(value) === true) return [];
    return (validate.errors ?? []).map((e) => `${e.instancePath} ${e.message} ${JSON.stringify(e.params)}`);
  };
}

/** Follows property names, and array or keyword steps where the name is a keyword. */
function find(schema: Json | undefined, path: string): Json {
  let at = schema as Json;
  for (const step of path === "" ? [] : path.split(".")) {
    const properties = at["properties"] as Record<string, Json> | undefined;
    at = (properties?.[step] ?? (at[step] as Json)) as Json;
    if (at === undefined) throw new Error(`OpenAI's description has no ${path}`);
  }
  return at;
}

const propertiesOf = (schema: Json): Record<string, Json> => schema["properties"] as Record<string, Json>;

/** OpenAPI's `nullable` as JSON Schema, and every object closed, but the parts of an allOf. */
function close(node: unknown, partOfAllOf = false): unknown {
  if (Array.isArray(node)) return node.map((item) => close(item));
  if (typeof node !== "object" || node === null) return node;
  const out: Json = {};
  for (const [key, value] of Object.entries(node)) {
    if (key === "nullable" || key === "discriminator" || key === "example" || key === "default") continue;
    if (key === "properties") {
      const entries = Object.entries(value as Json).map(([name, child]) => [name, close(child)] as const);
      out[key] = Object.fromEntries(entries);
    } else if (key === "allOf") out[key] = (value as unknown[]).map((part) => close(part, true));
    else out[key] = close(value);
  }
  if ("properties" in out && !("additionalProperties" in out) && !partOfAllOf)
    out["additionalProperties"] = false;
  return (node as Json)["nullable"] === true ? { anyOf: [out, { type: "null" }] } : out;
}
