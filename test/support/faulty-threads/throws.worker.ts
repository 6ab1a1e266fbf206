/** A screening thread that fails on every body. */
export default function handle(task: unknown): never {
  throw new Error(`could not read ${JSON.stringify(task)}`);
}
