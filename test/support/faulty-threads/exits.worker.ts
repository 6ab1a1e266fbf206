/** A screening thread that ends on every body. */
export default function handle(): never {
  process.exit(0);
}
