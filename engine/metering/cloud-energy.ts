/**
 * What an answer of a cloud takes in energy, as far as anybody outside can say. No vendor tells it by request, so it is modelled
 * from token counts, and wide.
 *
 * The coefficients are the ones under which three published estimates for a large model come out (Epoch AI, "How much energy
 * does ChatGPT use?", 2025, https://epoch.ai/gradient-updates/how-much-energy-does-chatgpt-use: an answer of 500 tokens 0.3 Wh;
 * after a prompt of 10,000 tokens 2.5 Wh; of 100,000 tokens 40 Wh). What vendors say of their own prompts lies within the
 * interval of a prompt of usual length: 0.24 Wh the median of Gemini (Google, 2025, arXiv 2508.15734), 0.34 Wh the average of
 * ChatGPT (S. Altman, "The Gentle Singularity", 2025). Cached tokens count a tenth, which is what vendors charge for them.
 */
import { type Energy, microjoules } from "../core/energy.ts";
import type { TokenCounts } from "./prices.ts";

/** In microjoules. */
const OUTPUT_TOKEN = 2_160_000;
const PROMPT_TOKEN = 721_200;
const CACHED_TOKEN = PROMPT_TOKEN / 10;
/** Times the square of the prompt's length: attention goes from each token to all before it. */
const PROMPT_SQUARE = 7.08;
/**
 * 90 of 100 true values are taken to lie between a fifth and five times the estimate: models and machines of unlike size, batches
 * of unknown fill. Published medians for one kind of query differ less, single queries more.
 */
const SPREAD = 5;
/** No context is longer; beyond it a count says nothing more. */
const TOKENS_MAX = 10_000_000;

const counted = (tokens: number): number => Math.min(Math.max(0, tokens), TOKENS_MAX);

/** The data centre's share is in it. */
export function cloudEnergy(tokens: TokenCounts): Energy {
  const prompt = counted(tokens.prompt);
  const cached = Math.min(counted(tokens.cached), prompt);
  const uj = Math.round(
    counted(tokens.completion) * OUTPUT_TOKEN +
      (prompt - cached) * PROMPT_TOKEN +
      cached * CACHED_TOKEN +
      // What is computed attends to the cached part too.
      (prompt * prompt - cached * cached) * PROMPT_SQUARE,
  );
  return {
    uj: microjoules(uj),
    lowUj: microjoules(Math.floor(uj / SPREAD)),
    highUj: microjoules(uj * SPREAD),
    tier: "modelled",
  };
}
