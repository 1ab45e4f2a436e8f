/** The scales of a plot's axes, and what stands at their ticks. */
import { timeTicks, utcTicks } from "d3-time";

/** A scale of numbers; a time is one of milliseconds since 1970. */
export interface Scale {
  (value: number): number;
  invert(place: number): number;
}

export interface Axis {
  /** `elapsed` is milliseconds since a beginning. */
  kind: "time" | "elapsed" | "linear" | "log";
  domain: readonly [number, number];
  /** Where its ticks are; by default at round values. */
  at?: readonly number[];
  /** What stands at a tick, empty for none. */
  format: (value: number) => string;
}

const DENSER = 1.5; // on a log axis, whose labels, as `200 ms`, need less room than those of times
const ROUNDING = 1e-9; // by which 0.6 / 0.1 is less than 6

interface Scaled {
  scale: Scale;
  ticks(most: number): [value: number, words: string][];
}

export function scaleOf({ kind, domain, at, format }: Axis, [start, end]: readonly [number, number]): Scaled {
  const isLog = kind === "log";
  const [low, high] = isLog ? [Math.log(domain[0]), Math.log(domain[1])] : domain;
  const scale = (value: number) => start + (((isLog ? Math.log(value) : value) - low) / (high - low)) * (end - start);
  const invert = (place: number) => {
    const value = low + ((place - start) / (end - start)) * (high - low);
    return isLog ? Math.exp(value) : value;
  };
  return {
    scale: Object.assign(scale, { invert }),
    ticks: (most) =>
      (at ?? ticksOf(kind, domain, most)).map((value): [number, string] => [value, format(value)]).filter(([, said]) => said !== ""),
  };
}

function ticksOf(kind: Axis["kind"], [low, high]: readonly [number, number], most: number): number[] {
  if (kind === "log") return decades([low, high], most * DENSER);
  if (kind === "linear") return rounds([low, high], most);
  return apart((kind === "time" ? timeTicks : utcTicks)(new Date(low), new Date(high), most).map((at) => at.getTime()));
}

/** Leaves out a time that follows another sooner than most: every other day begins anew on the first of a month. */
function apart(times: readonly number[]): number[] {
  const gaps = times.map((at, index) => at - (times[index - 1] ?? -Infinity));
  const widest = Math.max(...gaps.slice(1));
  return times.filter((_, index) => gaps[index]! > widest / 2);
}

/** Returns the multiples in a domain of 1, 2 or 5 of a power of ten, at most `most` of them unless one alone were left. */
export function rounds([low, high]: readonly [number, number], most: number): number[] {
  if (high <= low) return [low];
  const span = high - low;
  const least = span / Math.max(1, most);
  const step = [...multiples([1, 2, 5], least, span), ...multiples([1, 2, 5], span / 5, span).slice(-1)][0]!;
  const [first, last] = [Math.ceil(low / step - ROUNDING), Math.floor(high / step + ROUNDING)];
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/** Returns 1, 2 and 5 of each power of ten in `domain`; 1 and 3, or 1 alone, where those are too many. */
export function decades([low, high]: readonly [number, number], most: number): number[] {
  const steps = [[1, 2, 5], [1, 3], [1]].map((each) => multiples(each, low, high));
  return steps.find((values) => values.length <= most) ?? steps.at(-1)!;
}

/** Returns a domain for a log axis from and to 1, 2 or 5 of a power of ten, around `values`; undefined without any. */
export function around(values: readonly number[]): [number, number] | undefined {
  const positive = values.filter((value) => value > 0);
  if (positive.length === 0) return undefined;
  const [least, most] = [Math.min(...positive), Math.max(...positive)];
  return [multiples([1, 2, 5], least / 5, least).at(-1)!, multiples([1, 2, 5], most * (1 + Number.EPSILON), most * 5)[0]!];
}

/** Returns the multiples by `steps` of powers of ten, from `low` to `high`, both inclusive. */
function multiples(steps: readonly number[], low: number, high: number): number[] {
  const powers = { first: Math.floor(Math.log10(low)), last: Math.floor(Math.log10(high)) };
  const found: number[] = [];
  for (let power = powers.first; power <= powers.last; power += 1) {
    for (const step of steps) found.push(power < 0 ? step / 10 ** -power : step * 10 ** power);
  }
  return found.filter((value) => value >= low && value <= high);
}
