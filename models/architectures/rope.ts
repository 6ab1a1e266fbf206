/** Rotary embedding frequencies with the scalings that published models use. */
import type { ModelSource } from "../source.ts";
import { ConfigReader } from "./config.ts";

/** theta_i = base^(-2i / dims), Su et al. 2021 (RoFormer). */
function plainFrequencies(base: number, dims: number): Float64Array {
  return Float64Array.from({ length: dims / 2 }, (_, i) => base ** ((-2 * i) / dims));
}

/**
 * config.json's `rope_scaling`: `linear` divides all frequencies; `llama3` leaves short wavelengths alone, divides long
 * ones and blends between (Llama 3.1's published reference). Others are refused by name.
 */
export function scaledFrequencies(source: ModelSource, base: number, dims: number): Float64Array {
  const plain = plainFrequencies(base, dims);
  const reader = new ConfigReader(source);
  const scaling = reader.object("rope_scaling");
  if (scaling === undefined) return plain;
  const number = (key: string): number => {
    const value = scaling[key];
    if (typeof value === "number" && value > 0) return value;
    return reader.fail(`rope_scaling.${key}`, "expected a positive number");
  };
  const kind = scaling["rope_type"] ?? scaling["type"];
  switch (kind) {
    case "default":
      return plain;
    case "linear":
      return plain.map((frequency) => frequency / number("factor"));
    case "llama3": {
      const [factor, low, high] = [number("factor"), number("low_freq_factor"), number("high_freq_factor")];
      const original = number("original_max_position_embeddings");
      return plain.map((frequency) => {
        const wavelength = (2 * Math.PI) / frequency;
        if (wavelength < original / high) return frequency;
        if (wavelength > original / low) return frequency / factor;
        const smooth = (original / wavelength - low) / (high - low);
        return ((1 - smooth) * frequency) / factor + smooth * frequency;
      });
    }
    default:
      return reader.fail(
        "rope_scaling.rope_type",
        `${JSON.stringify(kind)} is not supported; supported: default, linear, llama3`,
      );
  }
}

/** GGUF: `rope.scaling.*` keys, and Llama 3's factors as the tensor `rope_freqs.weight` (each frequency is divided by its own). */
export function ggufFrequencies(
  source: ModelSource,
  prefix: string,
  base: number,
  dims: number,
): Float64Array {
  const reader = new ConfigReader(source);
  const plain = plainFrequencies(base, dims);
  reader.expect(`${prefix}.rope.scaling.type`, ["none", "linear"]);
  const factors = source.store.tensors.get("rope_freqs.weight");
  if (factors !== undefined) {
    if (factors.type !== "F32" || factors.byteLength !== dims * 2) {
      reader.fail("rope_freqs.weight", `expected ${dims / 2} F32 values`);
    }
    const values = new Float32Array(source.store.read(factors.name, 0, factors.byteLength).buffer);
    return plain.map((frequency, i) => frequency / (values[i] ?? 1));
  }
  if (source.config[`${prefix}.rope.scaling.type`] !== "linear") return plain;
  const factor = reader.positive(`${prefix}.rope.scaling.factor`, 1);
  return plain.map((frequency) => frequency / factor);
}
