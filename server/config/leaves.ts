/** Every single setting, read off the schema: its path, variable, default, and what it accepts in words. */
import type { z } from "zod";
import { SettingsSchema } from "./schema.ts";

export interface Leaf {
  /** `engine.rows_max` */
  readonly path: string;
  /** The environment variable that overrides it. */
  readonly env: string | undefined;
  readonly description: string;
  /** Undefined: not set unless somebody sets it. */
  readonly defaultValue: unknown;
  /** `a whole number from 1 to 1024` */
  readonly domain: string;
  /** True for a map whose keys are the user's own. */
  readonly isMap: boolean;
  readonly schema: z.ZodType;
}

/** Introspection of zod's own shape: the parts of `_zod.def` that are used here. */
interface Def {
  readonly type: string;
  readonly innerType?: z.ZodType;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly options?: readonly z.ZodType[];
  readonly values?: readonly unknown[];
  readonly entries?: Readonly<Record<string, string>>;
  readonly in?: z.ZodType;
  readonly defaultValue?: unknown;
}

const def = (schema: z.ZodType): Def => schema.def as unknown as Def;

function collect(schema: z.ZodType, path: readonly string[]): readonly Leaf[] {
  const { type, innerType, shape } = def(schema);
  if (type === "object" && shape !== undefined) {
    return Object.entries(shape).flatMap(([key, child]) => collect(child, [...path, key]));
  }
  if (type === "prefault" && innerType !== undefined) return collect(innerType, path);
  const meta = schema.meta() ?? {};
  const isMap = def(unwrapped(schema)).type === "record";
  const derived = isMap ? undefined : `WEIR_${path.join("_").toUpperCase()}`;
  return [
    {
      path: path.join("."),
      env: typeof meta["env"] === "string" ? meta["env"] : derived,
      description: String(meta["description"] ?? ""),
      defaultValue: def(schema).defaultValue,
      domain: typeof meta["domain"] === "string" ? meta["domain"] : domainOf(unwrapped(schema)),
      isMap,
      schema,
    },
  ];
}

function unwrapped(schema: z.ZodType): z.ZodType {
  const { type, innerType } = def(schema);
  return (type === "default" || type === "optional") && innerType !== undefined ? innerType : schema;
}

/** What a setting accepts, in words that fit after "must be". */
function domainOf(schema: z.ZodType): string {
  const { type, options, values, entries } = def(schema);
  if (type === "number") {
    const { minValue, maxValue, format } = schema as z.ZodNumber;
    return `a ${format === "safeint" ? "whole " : ""}number from ${minValue} to ${maxValue}`;
  }
  if (type === "boolean") return "true or false";
  if (type === "union") return (options ?? []).map(domainOf).join(" or ");
  if (type === "literal") return (values ?? []).join(" or ");
  if (type === "enum") return `one of ${Object.values(entries ?? {}).join(", ")}`;
  if (type === "record") return "a map from name to name";
  return "text";
}

/** Every setting, in the order of the schema. */
export const LEAVES: readonly Leaf[] = collect(SettingsSchema, []);
