/** The state of the service, in words. */
import type { ServiceResponse, ServiceSchema, ServiceSearch } from "../../../clients/typescript/src/types.ts";
import { age, count, plural } from "../format.ts";

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
const LATE = 5; // seconds from which on the search is said to be behind

/** A size with three digits, and units of 1,000: `83.9 MB`. */
export function size(bytes: number): string {
  let [value, unit] = [bytes, 0];
  // 999.5 would be written as 1000.
  for (; value >= 999.5 && unit < UNITS.length - 1; unit += 1) value /= 1000;
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** Which revisions of the schema meet, and whether they can. */
export function revision({ code, database, compatible_from }: ServiceSchema): string {
  if (database === null) return `The database has no schema of ours yet; this release was written for ${code}.`;
  if (database === code) return `${code}, that of this release.`;
  const from = compatible_from === null ? "" : `, which releases from ${compatible_from} on can use`;
  return `${database}${from}; this release was written for ${code}.`;
}

/** How far the search is behind the record. */
export function searched({ lag_seconds, past_messages }: ServiceSearch): { words: string; isBad: boolean } {
  const late = lag_seconds >= LATE;
  const past = past_messages > 0 ? ` About ${count(past_messages)} older messages are not found yet.` : "";
  const words = late ? `New messages are found after ${age(lag_seconds * 1000)} or later.` : "New messages are found within seconds.";
  return { words: words + past, isBad: late };
}

/** Which processes are connected to the database, by the revision that their release was written for. */
export function connected(releases: NonNullable<ServiceResponse["releases"]>): string {
  return releases.map(({ schema, connections }) => `${plural(connections, "connection")} of release ${schema}`).join(", ") || "none that can be seen";
}
