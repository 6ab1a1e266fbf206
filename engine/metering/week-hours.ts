/** Which hour of the week it is somewhere: tariffs and grids go by the clock on the wall there. */

export const HOURS_A_WEEK = 168;
/**
 * All of such a piece of time lies in one hour everywhere: offsets of time zones, and their changes, are whole quarters of an
 * hour (since 1972).
 */
export const QUARTER_MS = 900_000;

/** Of a moment in milliseconds since 1970: 0 is Monday from 0 to 1 o'clock, 167 Sunday from 23. */
export type HourOfWeek = (ms: number) => number;

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/** Asking the time zone database takes microseconds; a week's quarters are kept. */
const KEPT_MAX = 4 * HOURS_A_WEEK;

/** Throws RangeError for a name that is no IANA time zone. */
export function hourOfWeek(timeZone: string): HourOfWeek {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone,
    weekday: "short",
    hour: "2-digit",
    hourCycle: "h23",
  });
  const kept = new Map<number, number>();
  return (ms) => {
    const quarter = Math.floor(ms / QUARTER_MS);
    const known = kept.get(quarter);
    if (known !== undefined) return known;
    const parts = format.formatToParts(quarter * QUARTER_MS);
    const part = (type: string): string => parts.find((each) => each.type === type)?.value ?? "";
    const hour = DAYS.indexOf(part("weekday")) * 24 + Number(part("hour"));
    if (kept.size >= KEPT_MAX) kept.clear();
    kept.set(quarter, hour);
    return hour;
  };
}
