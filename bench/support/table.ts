/** Tables that read well both in a terminal and as Markdown. */

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(3, title.length, ...rows.map((row) => (row[column] ?? "").length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => (cells[column] ?? "").padEnd(width)).join(" | ")} |`;
  return [line(head), `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...rows.map(line)].join(
    "\n",
  );
}

/** `312 (298–320)`; without digits after the point from 100 on. */
export function withSpread(
  { median, least, most }: { readonly median: number; readonly least: number; readonly most: number },
  digits?: number,
): string {
  const after = digits ?? (median >= 100 ? 0 : 1);
  return `${median.toFixed(after)} (${least.toFixed(after)}–${most.toFixed(after)})`;
}
