/** What plots are made of. A series is told apart by its stroke or its shape besides its colour: `series` 1 to 4. */
import type { Frame } from "./frame.tsx";

export interface Point {
  x: number;
  /** Null where there is no value: the line has a gap. */
  y: number | null;
  /** The number of samples that the value is made of. */
  count?: number;
}

export type Series = 1 | 2 | 3 | 4;

/** The least number of samples of which a percentile is drawn as a part of a line. */
export const ENOUGH = 20;

interface SeriesProps {
  frame: Frame;
  points: readonly Point[];
  series?: Series;
}

/** A line through the points that have enough samples; the others are dots without a line. */
export function Line({ frame: { x, y }, points, series = 1 }: SeriesProps) {
  return (
    <g class={`series s${series}`}>
      <path class="line" d={path(points.map(({ x: at, y: value, count }) => isFew(count) || value === null ? null : [x(at), y(value)]))} />
      {points.map((point, index) =>
        point.y !== null && (isFew(point.count) || isAlone(points, index)) ? (
          <Dot key={point.x} series={series} x={x(point.x)} y={y(point.y)} hollow={isFew(point.count)} />
        ) : null,
      )}
    </g>
  );
}

/** A mark for each point. */
export function Dots({ frame: { x, y }, points, series = 1 }: SeriesProps) {
  return (
    <g class={`series s${series}`}>
      {points.map((point) =>
        point.y === null ? null : <Dot key={point.x} series={series} x={x(point.x)} y={y(point.y)} hollow={isFew(point.count)} />,
      )}
    </g>
  );
}

interface BarsProps {
  frame: Frame;
  /** Each from `from` to `to` on the x axis, and from `base` (0 if left out) to `value` on the y axis. */
  bars: readonly { from: number; to: number; value: number; base?: number }[];
  series?: Series;
}

/** Bars beside each other, with a pixel between them; stacked ones name their base. */
export function Bars({ frame: { x, y }, bars, series = 1 }: BarsProps) {
  return (
    <g class={`series s${series}`}>
      {bars.map(({ from, to, value, base = 0 }) => {
        const [left, right, top] = [x(from), x(to), y(base + value)];
        const height = y(base) - top;
        if (height <= 0) return null;
        const gap = right - left > 3 ? 1 : 0;
        return <rect key={from} x={left} y={top} width={Math.max(1, right - left - gap)} height={Math.max(1, height)} />;
      })}
    </g>
  );
}

/** A vertical or horizontal line at a value, with a word. */
export function Mark({ frame, x, y, children }: { frame: Frame; x?: number; y?: number; children: string }) {
  const { left, right, top, bottom } = frame;
  const [across, down] = [x === undefined ? undefined : frame.x(x), y === undefined ? undefined : frame.y(y)];
  return (
    <g class="mark">
      <line x1={across ?? left} x2={across ?? right} y1={down ?? top} y2={down ?? bottom} />
      <text x={across === undefined ? right : across + 4} y={(down ?? top + 12) - 3} text-anchor={across === undefined ? "end" : "start"}>
        {children}
      </text>
    </g>
  );
}

/** What tells the series apart, beside their names. */
export function Legend({ names }: { names: readonly string[] }) {
  return (
    <ul class="legend" aria-hidden="true">
      {names.map((name, index) => (
        <li key={name}>
          <svg width="26" height="10" class={`series s${index + 1}`}>
            <path class="line" d="M1 5H25" />
            <Dot series={(index + 1) as Series} x={13} y={5} hollow={false} />
          </svg>
          {name}
        </li>
      ))}
    </ul>
  );
}

function Dot({ series, x, y, hollow }: { series: Series; x: number; y: number; hollow: boolean }) {
  return <path class={hollow ? "dot hollow" : "dot"} transform={`translate(${x.toFixed(1)} ${y.toFixed(1)})`} d={SHAPES[series]} />;
}

const SHAPES: Record<Series, string> = {
  1: "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
  2: "M-3-3h6v6h-6z",
  3: "M0-4l4 7h-8z",
  4: "M0-4l4 4l-4 4l-4-4z",
};

function isFew(count: number | undefined): boolean {
  return count !== undefined && count < ENOUGH;
}

/** Whether a point has no neighbour that a line would join it with. */
function isAlone(points: readonly Point[], index: number): boolean {
  const joins = (point: Point | undefined) => point !== undefined && point.y !== null && !isFew(point.count);
  return !joins(points[index - 1]) && !joins(points[index + 1]);
}

/** Returns the path through the places, which begins anew after each that is null. */
function path(places: readonly ([number, number] | null)[]): string {
  let joined = false;
  return places
    .map((place) => {
      const step = place && `${joined ? "L" : "M"}${place[0].toFixed(1)} ${place[1].toFixed(1)}`;
      joined = place !== null;
      return step ?? "";
    })
    .join("");
}
