/**
 * The period of figures, by the address: days in the reader's zone (`since=2026-11-28&until=2026-11-28`, both inclusive)
 * or a range before now (`range=7d`). Without either it is the last day.
 */
import type { GetStatsQuery, Width } from "../../../clients/typescript/src/types.ts";
import { dayAfter, dayOf, isoDay } from "../days.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const MOST = 400; // buckets of an answer (docs/figures.md)
const MONDAY = Date.UTC(2001, 0, 1); // at multiples of their width from there buckets begin

/** The ranges before now, in milliseconds. The service's own is the first, for an address without a period. */
export const RANGES: Readonly<Record<string, number>> = { "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY };

/** The widths of buckets, the smallest first, in milliseconds. */
const WIDTHS: readonly (readonly [Width, string, number])[] = [
  ["PT1M", "1 minute", MINUTE],
  ["PT5M", "5 minutes", 5 * MINUTE],
  ["PT15M", "15 minutes", 15 * MINUTE],
  ["PT1H", "1 hour", HOUR],
  ["PT6H", "6 hours", 6 * HOUR],
  ["P1D", "1 day (UTC)", DAY],
  ["P7D", "1 week (UTC)", 7 * DAY],
];

export type Period = Pick<GetStatsQuery, "since" | "until">;

/** Returns the period that the address names. */
export function periodOf(query: URLSearchParams, now: Date): Period {
  const [first, last] = [query.get("since") ?? undefined, query.get("until") ?? undefined];
  const [since, until] = [dayOf(first ?? last), dayAfter(last)];
  if (since || until) return { since, until };
  const range = rangeOf(query);
  // From a full hour on, so that the service answers a page that asks each minute from its memory.
  return range === "24h" ? {} : { since: new Date(Math.floor((now.getTime() - RANGES[range]!) / HOUR) * HOUR).toISOString() };
}

/** Returns which of `RANGES` the address names; the first if it names none. */
export function rangeOf(query: URLSearchParams): string {
  const range = query.get("range") ?? "";
  return range in RANGES ? range : Object.keys(RANGES)[0]!;
}

/** Returns the parameters that name the day before that of `now`. */
export function yesterday(now: Date): { since: string; until: string } {
  const day = isoDay(new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1));
  return { since: day, until: day };
}

/** Whether there is no time in a period. */
export function isEmpty(period: Period, now: Date): boolean {
  const [since, until] = bounds(period, now);
  return since >= until;
}

/** Returns the widths of which the service takes at most 400 buckets for a period, with their names. */
export function widthsFor(period: Period, now: Date): Map<Width, string> {
  const [since, until] = bounds(period, now);
  const fits = (width: number) => Math.ceil((until - since + ((since - MONDAY) % width)) / width) <= MOST;
  return new Map(WIDTHS.filter(([, , width]) => fits(width)).map(([name, words]) => [name, words]));
}

/** Returns what to ask the service, by the address; a width that does not fit the period is left to the service. */
export function questionOf(query: URLSearchParams, now: Date): GetStatsQuery {
  const period = periodOf(query, now);
  const bucket = query.get("bucket") as Width;
  return {
    ...period,
    bucket: widthsFor(period, now).has(bucket) ? bucket : undefined,
    context_type: (query.get("context_type") || undefined) as GetStatsQuery["context_type"],
    source: (query.get("source") || undefined) as GetStatsQuery["source"],
  };
}

function bounds({ since, until }: Period, now: Date): [number, number] {
  const end = until ? Date.parse(until) : now.getTime();
  return [since ? Date.parse(since) : end - DAY, end];
}
