/** Days of the reader's zone, which filters name as `2026-11-29`, as the instants that the API takes. */

/** Returns the instant at which a day begins; undefined for what is no day. */
export function dayOf(day: string | undefined): string | undefined {
  return begin(day, 0);
}

/** Returns the instant at which the day after `day` begins. */
export function dayAfter(day: string | undefined): string | undefined {
  return begin(day, 1);
}

/** Returns the day of an instant. */
export function isoDay(at: Date): string {
  const two = (part: number) => String(part).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

function begin(day: string | undefined, later: number): string | undefined {
  const [, year, month, date] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(day ?? "") ?? [];
  if (!year) return undefined;
  // Of its parts, because days differ in length where the clocks change.
  return new Date(Number(year), Number(month) - 1, Number(date) + later).toISOString();
}
