/** From a graph's layout to the feeds that speak it. */
import type { GraphLayout } from "../../core/model.ts";
import { CompiledFeeds } from "./compiled.ts";
import type { FeedsOptions, GraphFeeds } from "./feeds.ts";
import { MaskedFeeds } from "./masked.ts";

export function createFeeds(layout: GraphLayout, options: FeedsOptions): GraphFeeds {
  switch (layout.kind) {
    case "compiled":
      return new CompiledFeeds(options);
    case "masked":
      return new MaskedFeeds(layout, options);
  }
}
