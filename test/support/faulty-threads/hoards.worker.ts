/** A screening thread that takes more memory than it may. */
export default function handle(): unknown {
  const hoard: number[][] = [];
  for (;;) hoard.push(new Array<number>(100_000).fill(hoard.length + 0.5));
}
