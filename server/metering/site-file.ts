/** site.yaml: what energy and machines cost here, when, and how clean the grid is. */
import { z } from "zod";
import { DOLLAR } from "../../engine/metering/prices.ts";
import { type Hardware, hardwareRate, type Site } from "../../engine/metering/site.ts";
import { HOURS_A_WEEK, hourOfWeek } from "../../engine/metering/week-hours.ts";
import { checkYaml, contentHash, readYamlText, YamlFileError } from "../checked-yaml.ts";
import { currency, decimal, rateFields, rateProblems, rateRows, source } from "./figures.ts";

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
/** With leap years. */
const HOURS_A_YEAR = 8766;

/** `from: 22, to: 6` goes past midnight; each hour counts on the day that it lies in. */
const hours = {
  days: z
    .array(z.enum(DAYS, `must be some of ${DAYS.join(", ")}`))
    .min(1)
    .default([...DAYS]),
  from: z.int("must be a whole hour").min(0).max(23),
  to: z.int("must be a whole hour").min(1).max(24),
};
const perKwh = decimal(0, 1_000_000, 9);
const watts = decimal(0, 10_000_000, 3).optional();

const machineSchema = z.strictObject({
  name: z.string().min(1).max(200),
  price: decimal(0, 9_000_000_000, 2),
  life_years: decimal(0.1, 100, 3),
  /** The part of the price that is left in the end. */
  residual: decimal(0, 1, 6).default(0),
  hours_per_year: decimal(1, HOURS_A_YEAR, 3).optional(),
  utilisation: decimal(0.001, 1, 6).optional(),
});

const siteSchema = z.strictObject({
  version: z.literal(1),
  time_zone: z.string().refine(isTimeZone, "must be a time zone of the IANA database, such as Europe/Berlin"),
  currency: currency.default("USD"),
  rates: z.array(rateFields).max(10_000).default([]),
  tariff: z.strictObject({
    per_kwh: perKwh,
    source,
    hours: z
      .array(z.strictObject({ ...hours, per_kwh: perKwh }))
      .max(168)
      .default([]),
  }),
  pue: decimal(1, 10, 6).default(1_000_000),
  carbon: z
    .strictObject({
      g_per_kwh: decimal(0, 5000, 3),
      source,
      hours: z
        .array(z.strictObject({ ...hours, g_per_kwh: decimal(0, 5000, 3) }))
        .max(168)
        .default([]),
    })
    .optional(),
  hardware: z.array(machineSchema).max(1000).default([]),
  power: z.strictObject({ idle_watts: watts, busy_watts: watts }).default({}),
});
type SiteFile = z.output<typeof siteSchema>;
type Machine = SiteFile["hardware"][number];

/**
 * In force where no file is named: the average price of electricity for businesses over some 150 countries, USD 0.155 a kWh
 * (GlobalPetrolPrices, first quarter of 2025, https://www.globalpetrolprices.com/electricity_prices/), the world's grid of 2023
 * at 481 g (Ember), no share of a building, and no price of the hardware, which nobody but its owner knows. Costs by it are
 * marked `site:default`.
 */
export const DEFAULT_SITE: Site = {
  version: "default",
  hourOfWeek: hourOfWeek("UTC"),
  tariff: Array.from({ length: HOURS_A_WEEK }, () => 155_000_000),
  pueMicro: 1_000_000,
  carbon: Array.from({ length: HOURS_A_WEEK }, () => 481_000),
  hardwarePicoPerHour: 0n,
  rates: [DOLLAR],
  power: { idleWatts: undefined, busyWatts: undefined },
};

/** The defaults where no file is named. Throws YamlFileError. */
export const loadSite = (file: string | undefined): Site =>
  file === undefined ? DEFAULT_SITE : parseSite(readYamlText(file), file);

/** `file` is only for messages. Throws YamlFileError. */
export function parseSite(text: string, file: string): Site {
  const { data, problem } = checkYaml(text, file, { schema: siteSchema, noun: "site file" });
  const crossed = [...crossProblems(data)].map(([path, message]) => problem(path, message));
  if (crossed.length > 0) throw new YamlFileError(crossed);
  const carbon = data.carbon ?? { g_per_kwh: DEFAULT_SITE.carbon[0] as number, hours: [] };
  return {
    version: contentHash(data).slice(0, 12),
    hourOfWeek: hourOfWeek(data.time_zone),
    tariff: week(
      data.tariff.per_kwh,
      data.tariff.hours.map((each) => [each, each.per_kwh]),
    ),
    pueMicro: data.pue,
    carbon: week(
      carbon.g_per_kwh,
      carbon.hours.map((each) => [each, each.g_per_kwh]),
    ),
    hardwarePicoPerHour: hardwareRate(data.hardware.map(hardwareOf)),
    rates: data.currency === DOLLAR.currency ? [DOLLAR] : (rateRows(data.rates).get(data.currency) ?? []),
    power: {
      idleWatts: inWatts(data.power.idle_watts),
      busyWatts: inWatts(data.power.busy_watts),
    },
  };
}

const inWatts = (milli: number | undefined): number | undefined =>
  milli === undefined ? undefined : milli / 1000;

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en-US", { timeZone: name });
    // An offset such as +01:00 knows no summer time.
    return /^[A-Za-z]/.test(name);
  } catch {
    return false;
  }
}

type Hours = Pick<SiteFile["tariff"]["hours"][number], "days" | "from" | "to">;

const covers = ({ days, from, to }: Hours, weekday: (typeof DAYS)[number], hour: number): boolean =>
  days.includes(weekday) && (from < to ? hour >= from && hour < to : hour >= from || hour < to);

/** A figure for each hour of the week; the first entry that fits wins. */
const week = (otherwise: number, entries: readonly (readonly [Hours, number])[]): readonly number[] =>
  DAYS.flatMap((weekday) =>
    Array.from(
      { length: 24 },
      (_, hour) => entries.find(([each]) => covers(each, weekday, hour))?.[1] ?? otherwise,
    ),
  );

const hardwareOf = (machine: Machine): Hardware => ({
  priceMicro: machine.price * 10_000,
  residualMicro: machine.residual,
  lifeYearsMicro: machine.life_years * 1000,
  hoursAYearMicro:
    machine.hours_per_year === undefined
      ? (machine.utilisation ?? 1_000_000) * HOURS_A_YEAR
      : machine.hours_per_year * 1000,
});

type Crossed = readonly [path: readonly PropertyKey[], message: string];

/** More than anybody pays, and little enough that no line's cost is beyond exact numbers. In dollars. */
const KWH_USD_MAX = 1000;
const HARDWARE_HOUR_USD_MAX = 1_000_000;

/** What no single field shows. */
function* crossProblems(file: SiteFile): Iterable<Crossed> {
  const rates = file.rates.filter((rate) => rate.currency === file.currency);
  if (file.currency === DOLLAR.currency) yield* dearProblems(file, DOLLAR.nanoPerUsd);
  else if (rates.length === 0) yield [["currency"], `there is no rate of ${file.currency} under rates`];
  else yield* dearProblems(file, Math.min(...rates.map((rate) => rate.per_usd)));
  for (const [index, why] of rateProblems(file.rates)) yield [["rates", index], why];
  for (const section of ["tariff", "carbon"] as const) {
    for (const [index, { from, to }] of (file[section]?.hours ?? []).entries()) {
      if (from === to)
        yield [[section, "hours", index, "to"], "must differ from `from`; 0 to 24 is a whole day"];
    }
  }
  for (const [index, machine] of file.hardware.entries()) {
    if ((machine.hours_per_year === undefined) === (machine.utilisation === undefined))
      yield [
        ["hardware", index],
        "must say either hours_per_year or utilisation: how much it is expected to work",
      ];
  }
  const { idle_watts: idle, busy_watts: busy } = file.power;
  if (idle !== undefined && busy !== undefined && idle > busy)
    yield [["power", "idle_watts"], "must not be more than busy_watts"];
}

/** `perUsd`: the least that a dollar ever costs, in 10^-9 of the site's currency. */
function* dearProblems({ tariff, hardware }: SiteFile, perUsd: number): Iterable<Crossed> {
  const tooDear = `is more than ${KWH_USD_MAX} dollars a kWh`;
  if (tariff.per_kwh / perUsd > KWH_USD_MAX) yield [["tariff", "per_kwh"], tooDear];
  for (const [index, { per_kwh: price }] of tariff.hours.entries()) {
    if (price / perUsd > KWH_USD_MAX) yield [["tariff", "hours", index, "per_kwh"], tooDear];
  }
  // 10^-12 of the currency over 10^-9 of it for a dollar.
  if (Number(hardwareRate(hardware.map(hardwareOf))) / 1000 / perUsd > HARDWARE_HOUR_USD_MAX)
    yield [["hardware"], `comes to more than ${HARDWARE_HOUR_USD_MAX} dollars for an hour of work`];
}
