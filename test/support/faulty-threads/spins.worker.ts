/** A screening thread that never comes to an end. */
export default function handle(): never {
  for (;;);
}
