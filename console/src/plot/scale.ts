/** The scales of a plot's axes, and what stands at their ticks. */
import { scaleLinear, scaleLog, scaleTime, scaleUtc } from "d3-scale";

/** A scale of numbers; a time is one of milliseconds since 1970. */
export interface Scale {
  (value: number): number;
  invert(place: number): number;
}

export interface Axis {
  /** `elapsed` is milliseconds since a beginning, and needs a `format`. */
  kind: "time" | "elapsed" | "linear" | "log";
  domain: readonly [number, number];
  /** What stands at a tick, empty for none; a time says itself. */
  format?: (value: number) => string;
}

const DENSER = 1.5; // on a log axis, whose labels, as `200 ms`, need less room than those of times

interface Scaled {
  scale: Scale;
  ticks(most: number): [value: number, words: string][];
}

export function scaleOf({ kind, domain, format }: Axis, range: readonly [number, number]): Scaled {
  if (kind === "time" || kind === "elapsed") {
    const scale = (kind === "time" ? scaleTime : scaleUtc)(domain, range);
    const words = scale.tickFormat();
    return {
      scale: Object.assign((value: number) => scale(value), { invert: (place: number) => scale.invert(place).getTime() }),
      ticks: (most) => scale.ticks(most).map((at) => [at.getTime(), format?.(at.getTime()) ?? words(at)]),
    };
  }
  const scale = kind === "log" ? scaleLog(domain, range) : scaleLinear(domain, range);
  return {
    scale,
    ticks: (most) => {
      const words = format ?? scale.tickFormat(most, kind === "log" ? "~s" : undefined);
      const values = kind === "log" ? decades(domain, most * DENSER) : scale.ticks(most);
      return values.map((value): [number, string] => [value, words(value)]).filter(([, said]) => said !== "");
    },
  };
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
