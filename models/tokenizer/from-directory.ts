/** The tokenizer of a Hugging Face model directory: tokenizer.json and what stands beside it. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { isRecord, type Json, readJsonFile, readTextFile } from "../formats/json-file.ts";
import { ModelFileError, type TokenizerFiles } from "../source.ts";

export interface DirectoryTokenizer {
  readonly files: TokenizerFiles;
  readonly bosToken: number | undefined;
  readonly endTokens: readonly number[];
  /** The files read. */
  readonly paths: readonly string[];
}

/** Vocabularies of 262,144 tokens take some 35 MB. */
const TOKENIZER_BYTES_MAX = 40 * 2 ** 20;
const SMALL_BYTES_MAX = 4 * 2 ** 20;

/** `config`: the parsed config.json, for token ids where generation_config.json has none. */
export function tokenizerFromDirectory(directory: string, config: Json): DirectoryTokenizer {
  const paths: string[] = [];
  const read = (name: string, bytesMax: number): Json => {
    paths.push(join(directory, name));
    return readJsonFile(join(directory, name), bytesMax);
  };
  const readIfThere = (name: string): Json =>
    existsSync(join(directory, name)) ? read(name, SMALL_BYTES_MAX) : {};
  const json = read("tokenizer.json", TOKENIZER_BYTES_MAX);
  const tokenizerConfig = { ...readIfThere("tokenizer_config.json") };
  const generation = readIfThere("generation_config.json");
  const templatePath = join(directory, "chat_template.jinja");
  if (existsSync(templatePath)) {
    paths.push(templatePath);
    tokenizerConfig["chat_template"] = readTextFile(templatePath, SMALL_BYTES_MAX);
  }
  const tokenizerJson = {
    ...json,
    truncation: null,
    padding: null,
    added_tokens: allAddedTokens(directory, json, tokenizerConfig),
  };
  const idOf = (key: string): number | undefined => addedId(tokenizerJson.added_tokens, tokenizerConfig[key]);
  const configured = tokenIds(
    directory,
    "eos_token_id",
    generation["eos_token_id"] ?? config["eos_token_id"],
  );
  const named = idOf("eos_token");
  const ends = new Set(named === undefined ? configured : [...configured, named]);
  const [bos] = tokenIds(directory, "bos_token_id", generation["bos_token_id"] ?? config["bos_token_id"]);
  return {
    files: { tokenizerJson, tokenizerConfig },
    bosToken: bos ?? idOf("bos_token"),
    endTokens: [...ends].sort((a, b) => a - b),
    paths,
  };
}

/** tokenizer.json's own list, and those that only tokenizer_config.json knows. */
function allAddedTokens(directory: string, json: Json, tokenizerConfig: Json): readonly unknown[] {
  const listed = json["added_tokens"] ?? [];
  if (!Array.isArray(listed)) {
    throw new ModelFileError(join(directory, "tokenizer.json"), "added_tokens", "must be a list");
  }
  const known = new Set(listed.map((token) => (isRecord(token) ? token["id"] : undefined)));
  const decoder = tokenizerConfig["added_tokens_decoder"];
  if (!isRecord(decoder)) return listed;
  const further = Object.entries(decoder)
    .map(([id, token]) => (isRecord(token) ? { ...token, id: Number(id) } : undefined))
    .filter((token) => token !== undefined && !known.has(token.id));
  return [...listed, ...further];
}

/** A config's token id: a number, a list of numbers, or nothing. */
function tokenIds(directory: string, key: string, value: unknown): readonly number[] {
  const ids: readonly unknown[] = Array.isArray(value)
    ? value
    : value === undefined || value === null
      ? []
      : [value];
  if (ids.every((id): id is number => Number.isSafeInteger(id) && (id as number) >= 0)) return ids;
  throw new ModelFileError(directory, key, "must be a token id or a list of them");
}

/** The id of a special token named by its text, or by an object with a `content`. */
function addedId(added: readonly unknown[], token: unknown): number | undefined {
  const content = isRecord(token) ? token["content"] : token;
  if (typeof content !== "string") return undefined;
  const found = added.find((item): item is Json => isRecord(item) && item["content"] === content);
  return typeof found?.["id"] === "number" ? found["id"] : undefined;
}
