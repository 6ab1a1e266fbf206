/** The four classes of data, from what anybody may read to what must stay in the house. The highest vote wins. */

/** In rising order: each class includes the duties of those before it. */
export const DATA_CLASSES = ["public", "internal", "personal", "restricted"] as const;

export type DataClass = (typeof DATA_CLASSES)[number];

/** The class of two things taken together: the higher one. */
export function maxClass(a: DataClass, b: DataClass): DataClass {
  return atLeast(a, b) ? a : b;
}

/** Whether `a` is `b` or above it. A value that is no class at all counts as the highest: doubt stays in the house. */
export function atLeast(a: DataClass, b: DataClass): boolean {
  return rank(a) >= rank(b);
}

function rank(value: DataClass): number {
  const found = DATA_CLASSES.indexOf(value);
  return found === -1 ? DATA_CLASSES.length : found;
}
