/** Which row of the price book holds for a model of a backend in weir.yaml, and which models nobody knows the price of. */
import { type Price, type PriceBook, priceOf } from "../../engine/metering/prices.ts";
import type { BackendSettings } from "../config/backend.ts";
import type { Problem } from "../config/problems.ts";
import type { Config } from "../config/types.ts";

type Backends = Readonly<Record<string, BackendSettings>>;

export interface BackendPrices {
  /**
   * Whether a request may go there as far as its cost is concerned. A cloud's model must have a price at that time (milliseconds
   * since 1970). A server of the house needs none, unless its `prices` says that it goes by the book. `model` as clients say it.
   */
  isPriced(backend: string, model: string, at: number): boolean;
  /** Undefined where there is none, which is never a price of 0. */
  priceOf(backend: string, model: string, at: number): Price | undefined;
}

/** By the book: named so, or a cloud, whose vendor is then taken to be the one that its kind is named after. */
const providerOf = ({ prices, zone, kind }: BackendSettings): string | undefined =>
  prices ?? (zone === "cloud" ? kind : undefined);

export function backendPrices(backends: Backends, book: PriceBook): BackendPrices {
  const find = (name: string): BackendSettings | undefined =>
    Object.hasOwn(backends, name) ? backends[name] : undefined;
  const price = (name: string, model: string, at: number): Price | undefined => {
    const settings = find(name);
    const provider = settings && providerOf(settings);
    if (settings === undefined || provider === undefined || !Object.hasOwn(settings.models, model))
      return undefined;
    return priceOf(book, { provider, model: settings.models[model] as string, at });
  };
  return {
    priceOf: price,
    isPriced: (name, model, at) => {
      const settings = find(name);
      const free = settings !== undefined && providerOf(settings) === undefined;
      return free || price(name, model, at) !== undefined;
    },
  };
}

/** For `weir config check`: the models that requests will be refused for. */
export function unpriced(
  { backends, file }: Pick<Config, "backends" | "file">,
  book: PriceBook,
  at: number,
): readonly Problem[] {
  const prices = backendPrices(backends, book);
  return Object.entries(backends).flatMap(([name, settings]) =>
    Object.entries(settings.models)
      .filter(([model]) => !prices.isPriced(name, model, at))
      .map(([model, vendorName]) => ({
        path: `backends.${name}.models`,
        where: file ?? "",
        message:
          `there is no price of ${providerOf(settings)}/${vendorName} in the price book, so requests for ` +
          `${name}/${model} are refused; add a row to it, or name another of its providers as backends.${name}.prices`,
      })),
  );
}
