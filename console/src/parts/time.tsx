import { moment, utc } from "../format.ts";

/** A time in the reader's zone; the hover shows it in UTC, to the millisecond. */
export function Time({ at, as = moment }: { at: string; as?: (at: string) => string }) {
  return (
    <time dateTime={at} title={utc(at)}>
      {as(at)}
    </time>
  );
}
