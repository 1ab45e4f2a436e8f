/** The axis that the parts of a call share: time since its beginning. */
import { clock } from "../format.ts";

/** `mm:ss`, or `h:mm:ss` from an hour on, of milliseconds since the beginning of the call. */
export function elapsed(ms: number): string {
  return clock(ms / 1000);
}

/** The same, with tenths between two seconds. */
export function tick(ms: number): string {
  const tenths = Math.round(ms / 100) % 10;
  return tenths === 0 ? elapsed(ms) : `${elapsed(ms)}.${tenths}`;
}
