/** The families that can be imported. A new one: write its file, add it here, add a shape to the conformance test. */
import { ModelFileError, type ModelSource } from "../source.ts";
import { llama } from "./llama.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";
import type { Architecture, DecoderSpec } from "./spec.ts";

const ARCHITECTURES: readonly Architecture[] = [llama, qwen2, qwen3];

/** Throws ModelFileError that lists the known families where this one is not among them. */
export function describeModel(source: ModelSource): DecoderSpec {
  const found = ARCHITECTURES.find((architecture) => architecture.names.includes(source.architecture));
  if (found === undefined) {
    const known = ARCHITECTURES.flatMap((architecture) => architecture.names).join(", ");
    throw new ModelFileError(
      source.path,
      "architecture",
      `${source.architecture} is not supported; supported: ${known}`,
    );
  }
  return found.describe(source);
}
