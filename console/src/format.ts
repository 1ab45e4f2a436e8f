/** Numbers, times and durations as the console writes them. Times are in the reader's zone; `utc` is for the hover. */

const NONE = "–";
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** `12,345`; a dash for nothing. */
export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? NONE : WHOLE.format(value);
}

/** `1 call`, `2 calls`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A latency: `780 ms` below a second, else `1.41 s`; a dash for an unknown one. */
export function latency(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return NONE;
  return ms < 999.5 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 99_995 ? (ms < 9_995 ? 2 : 1) : 0)} s`;
}

/** The length of a call, as `mm:ss`, or `h:mm:ss` from an hour on. */
export function clock(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return NONE;
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (part: number) => String(part).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${two(m)}:${two(s)}`;
}

/** How long ago: `0 s`, `40 s`, `5 min`, `3 h`, `2 d`. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  return seconds < 36 * 3600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const DAY_OF_YEAR = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const WEEKDAY = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short" });

/** `14:03:27`. */
export function timeOfDay(at: Date | string): string {
  return TIME.format(new Date(at));
}

/** `14:03:27` of the day `now` lies in, else `29 Nov 14:03`, with the year if it is another one. */
export function moment(at: Date | string, now: Date = new Date()): string {
  const time = new Date(at);
  if (time.toDateString() === now.toDateString()) return TIME.format(time);
  return `${day(time, now)} ${TIME.format(time).slice(0, 5)}`;
}

/** `29 Nov`, with the year if it is another one than that of `now`. */
export function day(at: Date | string, now: Date = new Date()): string {
  const time = new Date(at);
  return (time.getFullYear() === now.getFullYear() ? DAY : DAY_OF_YEAR).format(time);
}

/** `Sun 29 Nov`. */
export function weekday(at: Date | string): string {
  return WEEKDAY.format(new Date(at)).replace(",", "");
}

/** `2026-11-29 14:03:27.120 UTC`. */
export function utc(at: Date | string): string {
  return new Date(at).toISOString().replace("T", " ").replace("Z", " UTC");
}
