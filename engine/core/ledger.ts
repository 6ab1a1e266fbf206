/** One line of the ledger: what one attempt to answer one choice of one request took. No text of anything. */
import type { Brand } from "./brand.ts";
import type { DataClass } from "./data-class.ts";
import type { Energy } from "./energy.ts";
import type { Zone } from "./policy.ts";

/** 10^-6 US dollars; whole numbers. */
export type MicroUsd = Brand<number, "MicroUsd">;

export const microUsd = (value: number): MicroUsd => value as MicroUsd;

/** `work`: of a request. `idle`, `overhead`: of the house, for a stretch of time; they have no request. */
export type LedgerLine = "work" | "idle" | "overhead";

/** Together they are the entry's cost. Of a cloud only `price` is not 0. */
export interface CostParts {
  /** By the price book. */
  readonly price: MicroUsd;
  /** Energy, at the tariff of its hour, with the building's share (PUE). */
  readonly energy: MicroUsd;
  /** Of the hardware, by the time that it worked for this. */
  readonly hardware: MicroUsd;
}

export interface LedgerEntry {
  /** What makes an entry one: appended twice, it counts once. */
  readonly request: string;
  readonly choice: number;
  readonly attempt: number;
  readonly line: LedgerLine;
  /** Milliseconds since 1970, of its end. */
  readonly at: number;
  readonly backend: string;
  readonly zone: Zone;
  readonly model: string;
  readonly class: DataClass;
  readonly team: string | undefined;
  /** Id or name of the key; no secret. */
  readonly key: string | undefined;
  readonly agent: string | undefined;
  /** Keyed hash of the person (OpenAI's `user` or `safety_identifier`); undefined where none is said. */
  readonly person: string | undefined;
  readonly outcome: "finished" | "aborted" | "failed";
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** The counts are made of lengths: the backend gave none that can be true, or the answer broke off. */
  readonly estimated: boolean;
  readonly energy: Energy;
  readonly cost: CostParts;
  /** The row of the price book, or the version of the site file, that the cost is by. */
  readonly priced: string;
  readonly queueMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
}

export const totalCost = ({ price, energy, hardware }: CostParts): MicroUsd =>
  microUsd(price + energy + hardware);
