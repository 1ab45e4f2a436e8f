/** The buckets of figures as spans of time, cut off at the ends of the period, as the service cuts them. */
import type { Bucket, Figures, Stats } from "../../../clients/typescript/src/types.ts";
import { day, weekday } from "../format.ts";

export interface Span {
  /** Milliseconds since 1970, inclusive. */
  from: number;
  /** Exclusive. */
  to: number;
  figures: Bucket;
}

export function spansOf({ since, until, buckets }: Pick<Stats, "since" | "until" | "buckets">): Span[] {
  return buckets.map((figures, index) => ({
    from: Math.max(Date.parse(figures.start), Date.parse(since)),
    to: Math.min(Date.parse(buckets[index + 1]?.start ?? until), Date.parse(until)),
    figures,
  }));
}

export function middle({ from, to }: Span): number {
  return (from + to) / 2;
}

/** Returns the span in which a time lies. */
export function spanAt(spans: readonly Span[], time: number): Span | undefined {
  return spans.find(({ from, to }) => time >= from && time < to);
}

/** Returns the first span with the largest value; undefined if no span has one above 0. */
export function most(spans: readonly Span[], value: (figures: Figures) => number | null | undefined): Span | undefined {
  return spans.reduce<Span | undefined>(
    (best, span) => ((value(span.figures) ?? 0) > (best ? (value(best.figures) ?? 0) : 0) ? span : best),
    undefined,
  );
}

/** A span in the reader's zone: `Sat 28 Nov 14:00–14:15`, `Sat 28 Nov` for a whole day. */
export function spell(from: number, to: number): string {
  const [begin, end, last] = [time(from), time(to), weekday(new Date(to - 1))];
  const first = weekday(new Date(from));
  if (first !== last) return `${first} ${begin} – ${weekday(new Date(to))} ${end}`;
  if (begin === MIDNIGHT && end === MIDNIGHT) return first;
  return `${first} ${begin}–${end === MIDNIGHT ? "24:00" : end}`;
}

/** What stands at a tick of a time axis: the time of day, or the day at its beginning. */
export function tick(at: number): string {
  return time(at) === MIDNIGHT ? day(new Date(at)) : time(at);
}

const MIDNIGHT = "00:00";
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

function time(at: number): string {
  return TIME.format(at);
}
