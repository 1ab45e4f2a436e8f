/** What the plots of figures over time share: their axis, and the reading out of a bucket. */
import type { Figures, Stats } from "../../../clients/typescript/src/types.ts";
import { count } from "../format.ts";
import { Plot } from "../plot/frame.tsx";
import { Bars, type Series } from "../plot/marks.tsx";
import type { Axis } from "../plot/scale.ts";
import { middle, type Span, spanAt, spell, tick } from "./buckets.ts";

/** The time of the whole period. */
export function timeAxis({ since, until }: Stats): Axis {
  return { kind: "time", domain: [Date.parse(since), Date.parse(until)], format: tick };
}

/** The name of a span, as the first cell of a row or the beginning of what is read out. */
export function name({ from, to }: Span): string {
  return spell(from, to);
}

/** Returns what is read out at a time: the span in which it lies, and what `words` says of it. */
export function reader(spans: readonly Span[], words: (figures: Figures) => string) {
  return (time: number): string | undefined => {
    const span = spanAt(spans, time);
    return span && `${name(span)} · ${words(span.figures)}`;
  };
}

interface CountProps {
  stats: Stats;
  spans: readonly Span[];
  /** What is counted, in the plural. */
  of: string;
  value: (figures: Figures) => number;
  format?: (value: number) => string;
  height?: number;
  series?: Series;
  /** The largest value of the axis, so that plots beside each other have the same; by default the largest there is. */
  top?: number;
}

/** A bar for the number in each span. */
export function Counts({ stats, spans, of, value, format = count, height = 120, series = 1, top }: CountProps) {
  return (
    <Plot
      x={timeAxis(stats)}
      y={{ kind: "linear", domain: [0, Math.max(1, top ?? 0, ...spans.map(({ figures }) => value(figures)))], format: whole }}
      height={height}
      readout={reader(spans, (figures) => `${of} ${format(value(figures))}`)}
      stops={{ label: `${of} over time`, places: spans.map(middle) }}
    >
      {(frame) => <Bars frame={frame} series={series} bars={spans.map(({ from, to, figures }) => ({ from, to, value: value(figures) }))} />}
    </Plot>
  );
}

/** A tick of an axis of numbers: nothing at those that are not whole. */
function whole(value: number): string {
  return Number.isInteger(value) ? count(value) : "";
}
