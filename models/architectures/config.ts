/** Reads numbers and names out of a model's configuration, with bounds; every failure names the key. */
import { ModelFileError, type ModelSource } from "../source.ts";

/** Every slot holds a prompt token and an answer token at least: a shorter context could not be served. */
const CONTEXT_MIN = 2;

type Configured = Pick<ModelSource, "path" | "config">;

export class ConfigReader {
  readonly #source: Configured;
  constructor(source: Configured) {
    this.#source = source;
  }

  has(key: string): boolean {
    const value = this.#source.config[key];
    return value !== undefined && value !== null;
  }

  /** A whole number of at least 1 and at most `max`; at least 2 under the names of a context's length. */
  count(key: string, max: number, fallback?: number): number {
    const min = /^max_position_embeddings$|\.context_length$/.test(key) ? CONTEXT_MIN : 1;
    const value = this.#source.config[key] ?? fallback;
    if (typeof value !== "number" && typeof value !== "bigint")
      this.fail(key, `expected a whole number, found ${typeof value}`);
    const number = Number(value);
    if (!Number.isInteger(number) || number < min || number > max) {
      this.fail(key, `expected a whole number from ${min} to ${max}, found ${number}`);
    }
    return number;
  }

  positive(key: string, fallback?: number): number {
    const value = this.#source.config[key] ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) {
      this.fail(key, `expected a positive number, found ${String(value)}`);
    }
    return value;
  }

  /** Undefined where absent or null; fails where it is anything but an object. */
  object(key: string): Readonly<Record<string, unknown>> | undefined {
    const value = this.#source.config[key];
    if (value === undefined || value === null) return undefined;
    if (typeof value !== "object" || Array.isArray(value)) this.fail(key, "expected an object");
    return value as Readonly<Record<string, unknown>>;
  }

  /** Fails unless the key is absent or has one of the values that the family's graph stands for. */
  expect(key: string, allowed: readonly unknown[]): void {
    const value = this.#source.config[key];
    if (value === undefined || value === null || allowed.includes(value)) return;
    this.fail(
      key,
      `${JSON.stringify(value)} is not supported; supported: ${allowed.map((v) => JSON.stringify(v)).join(", ")}`,
    );
  }

  fail(key: string, problem: string): never {
    throw new ModelFileError(this.#source.path, key, problem);
  }
}
