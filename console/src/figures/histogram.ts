/** The parts of a histogram of latencies, as bars on a log axis and in words. */
import type { HistogramPart } from "../../../clients/typescript/src/types.ts";
import { plural } from "../format.ts";

const PART = 1.25; // the width of a part without a bound, as the narrowest of the others

export interface Bar {
  from: number;
  to: number;
  value: number;
  part: HistogramPart;
}

/** Returns the bars; a part without a bound is as wide as another one, because a log axis ends nowhere. */
export function barsOf(histogram: readonly HistogramPart[]): Bar[] {
  return histogram.map((part) => {
    const from = part.from_ms || (part.to_ms ?? 1) / PART;
    return { from, to: part.to_ms ?? from * PART, value: part.count, part };
  });
}

/** `630–800 ms`, `less than 10 ms`, `100 s or more`. */
export function range({ from_ms, to_ms }: HistogramPart): string {
  if (from_ms === 0) return `less than ${bound(to_ms ?? 0)}`;
  return to_ms === null ? `${bound(from_ms)} or more` : `${bound(from_ms)} to ${bound(to_ms)}`;
}

/** A bound of a part, or a tick: `800 ms`, `1.25 s`. */
export function bound(ms: number): string {
  return ms < 1000 ? `${+ms.toPrecision(3)} ms` : `${+(ms / 1000).toPrecision(3)} s`;
}

/** What the histogram says. */
export function inWords(histogram: readonly HistogramPart[]): string {
  const answers = histogram.reduce((sum, { count }) => sum + count, 0);
  const fullest = histogram.reduce((best, part) => (part.count > best.count ? part : best));
  return `${plural(answers, "answer")}; most often ${range(fullest)}, which are ${share(fullest.count, answers)}.`;
}

/** `13 %`; a share that is neither 0 nor 1 is never shown as if it were. */
export function share(part: number, whole: number): string {
  const percent = whole === 0 ? 0 : (100 * part) / whole;
  if (percent === 0 || percent === 100) return `${percent} %`;
  if (percent < 1) return percent < 0.1 ? "< 0.1 %" : `${percent.toFixed(1)} %`;
  return percent > 99 ? "> 99 %" : `${Math.round(percent)} %`;
}
