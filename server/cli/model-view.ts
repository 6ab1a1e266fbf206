/** Models as text and as JSON. */
import type { CatalogEntry, UsableModel } from "../../models/catalog.ts";
import { table } from "./table.ts";

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`;

export function listing(entries: readonly CatalogEntry[], asJson: boolean): readonly string[] {
  if (asJson) return [JSON.stringify(entries.map(summary), undefined, 2)];
  if (entries.length === 0)
    return ["No model is installed. `weir models pull ORG/NAME` or `weir models import FILE` adds one."];
  const usable = entries.filter((entry) => entry.state === "usable");
  const head = ["NAME", "ARCHITECTURE", "WEIGHTS", "CACHE", "CONTEXT", "SIZE", "LICENCE", ""];
  const rows = usable.map(({ name, manifest, bytes, origin }) => [
    name,
    manifest.architecture,
    manifest.precision.block === 0
      ? manifest.precision.weights
      : `${manifest.precision.weights}/${manifest.precision.block}`,
    manifest.precision.kv,
    String(manifest.contextLength),
    megabytes(bytes),
    manifest.licence ?? "-",
    origin === "built-in" ? "built-in" : "",
  ]);
  const broken = entries.flatMap((entry) =>
    entry.state === "broken" ? [`${entry.name}  is damaged: ${entry.why}`] : [],
  );
  return [...(rows.length === 0 ? [] : table([head, ...rows])), ...broken];
}

function summary(entry: CatalogEntry): unknown {
  const { name, origin, state, folder } = entry;
  if (entry.state === "broken") return { name, origin, state, folder, why: entry.why };
  const { architecture, contextLength, precision, licence, createdAt } = entry.manifest;
  return {
    name,
    origin,
    state,
    folder,
    architecture,
    context_length: contextLength,
    weights: precision.weights,
    block: precision.block,
    lossless: precision.lossless,
    kv: precision.kv,
    bytes: entry.bytes,
    licence: licence ?? null,
    created: createdAt,
  };
}

export function shownModel(
  { manifest, folder, bytes, origin }: UsableModel,
  asJson: boolean,
): readonly string[] {
  if (asJson) return [JSON.stringify(manifest, undefined, 2)];
  const { geometry, precision, source, tokens } = manifest;
  const loss =
    precision.nll === undefined
      ? "not measured"
      : `${precision.nll.int8.toFixed(4)} nats a token with int8, ${precision.nll.f32.toFixed(4)} with f32 (${precision.nll.tokens} tokens)`;
  const facts: readonly (readonly [string, string])[] = [
    ["name", manifest.name],
    [
      "origin",
      origin === "built-in"
        ? "comes with weir"
        : (source.origin ?? source.files.map((file) => file.name).join(", ")),
    ],
    ["licence", manifest.licence ?? "not stated"],
    ["architecture", manifest.architecture],
    [
      "layers",
      `${geometry.layers}, hidden ${geometry.hidden}, heads ${geometry.heads}, KV heads ${geometry.kvHeads} of ${geometry.headDim}`,
    ],
    ["vocabulary", String(geometry.vocabSize)],
    ["context", `${manifest.contextLength} tokens`],
    [
      "weights",
      `${precision.weights}${precision.block === 0 ? "" : `, block ${precision.block}`}${precision.lossless ? ", without loss" : ""}`,
    ],
    ["KV cache", precision.kv],
    ["cache loss", loss],
    ["end tokens", tokens.end.join(", ") || "none"],
    ["chat", manifest.hasChatTemplate ? "has a chat template" : "has no chat template"],
    ["size", megabytes(bytes)],
    ["folder", folder],
    ["installed", new Date(manifest.createdAt * 1000).toISOString()],
    ["source", source.files.map((file) => `${file.name} (${file.sha256})`).join("\n              ")],
  ];
  return facts.map(([label, value]) => `${label.padEnd(12)}  ${value}`);
}
