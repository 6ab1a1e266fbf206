/** Whether the secrets that the configuration refers to are there: said at the start, not at the first request. */
import { type Config, type Problem, readSecret } from "../config.ts";

/** One problem a backend whose secret cannot be read; it names the reference, never what it holds. */
export async function secretProblems(config: Config): Promise<readonly Problem[]> {
  const problems: Problem[] = [];
  for (const [name, { secret }] of Object.entries(config.backends)) {
    if (secret === undefined) continue;
    try {
      await readSecret(secret, config);
    } catch (error) {
      const message = `is ${secret}, and ${(error as Error).message}`;
      problems.push({ path: `backends.${name}.secret`, where: config.file ?? "", message });
    }
  }
  return problems;
}
