/** The frame of a plot: axes with their labels, and where the pointer is. What is drawn inside gets its scales. */
import { scaleLinear, scaleLog, scaleTime, scaleUtc } from "d3-scale";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

/** A scale of numbers; a time is one of milliseconds since 1970. */
export interface Scale {
  (value: number): number;
  invert(place: number): number;
}

export interface Frame {
  readonly x: Scale;
  readonly y: Scale;
  /** The rectangle that marks are drawn in, in pixels. */
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export interface Axis {
  /** `elapsed` is milliseconds since a beginning, and needs a `format`. */
  kind: "time" | "elapsed" | "linear" | "log";
  domain: readonly [number, number];
  /** What stands at a tick; a time says itself. */
  format?: (value: number) => string;
}

interface Props {
  x: Axis;
  y: Axis;
  /** The height in pixels; the width is that of the room. */
  height?: number;
  /** The room for the labels of the y axis in pixels. */
  left?: number;
  /** A line of text for the place of the pointer on the x axis; undefined where there is nothing. */
  readout?: (x: number) => ComponentChildren;
  /** What a click at a place on the x axis does. */
  onPick?: (x: number) => void;
  children: (frame: Frame) => ComponentChildren;
}

const MARGIN = { left: 52, right: 12, top: 8, bottom: 22 };
const EACH = { x: 90, y: 36 }; // pixels for a tick

/** Draws the axes, and what `children` returns between them. The plot itself is hidden from screen readers: `Figure`. */
export function Plot({ x, y, height = 180, left = MARGIN.left, readout, onPick, children }: Props) {
  const [room, width] = useWidth();
  const [pointer, setPointer] = useState<number>();
  const frame = {
    left,
    right: Math.max(left + 1, width - MARGIN.right),
    top: MARGIN.top,
    bottom: height - MARGIN.bottom,
  };
  const [across, up] = [scaleOf(x, [frame.left, frame.right]), scaleOf(y, [frame.bottom, frame.top])];
  const text = pointer === undefined ? undefined : readout?.(across.scale.invert(pointer));
  const follow = (event: PointerEvent) => {
    const place = event.clientX - (event.currentTarget as Element).getBoundingClientRect().left;
    setPointer(place >= frame.left && place <= frame.right ? place : undefined);
  };
  return (
    <div ref={room} class="plot">
      {readout && <p class="readout">{text ?? " "}</p>}
      <svg
        aria-hidden="true"
        width={width}
        height={height}
        {...(readout && { onPointerMove: follow, onPointerLeave: () => setPointer(undefined) })}
        {...(onPick && { onClick: () => pointer !== undefined && onPick(across.scale.invert(pointer)) })}
      >
        {up.ticks(Math.max(2, Math.floor((frame.bottom - frame.top) / EACH.y))).map(([value, words]) => (
          <g key={value} class="tick" transform={`translate(0 ${up.scale(value)})`}>
            <line x1={frame.left} x2={frame.right} />
            <text x={frame.left - 6} dy="0.32em" text-anchor="end">
              {words}
            </text>
          </g>
        ))}
        {across.ticks(Math.max(2, Math.floor((frame.right - frame.left) / EACH.x))).map(([value, words]) => (
          <g key={value} class="tick" transform={`translate(${across.scale(value)} ${frame.bottom})`}>
            <line y2="4" />
            <text y="16" text-anchor="middle">
              {words}
            </text>
          </g>
        ))}
        {children({ ...frame, x: across.scale, y: up.scale })}
        {text !== undefined && <line class="pointer" x1={pointer} x2={pointer} y1={frame.top} y2={frame.bottom} />}
      </svg>
    </div>
  );
}

interface Scaled {
  scale: Scale;
  ticks(most: number): [value: number, words: string][];
}

function scaleOf({ kind, domain, format }: Axis, range: readonly [number, number]): Scaled {
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
      const values = kind === "log" ? decades(domain) : scale.ticks(most);
      return values.map((value) => [value, words(value)]);
    },
  };
}

/** Returns 1, 2 and 5 of each power of ten in `domain`. */
function decades([low, high]: readonly [number, number]): number[] {
  const found: number[] = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += 1)
    found.push(...[1, 2, 5].map((step) => step * 10 ** power));
  return found.filter((value) => value >= low && value <= high);
}

function useWidth() {
  const room = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(600);
  useLayoutEffect(() => {
    if (!room.current) return undefined;
    setWidth(room.current.clientWidth);
    const watcher = new ResizeObserver(([entry]) => entry && setWidth(entry.contentRect.width));
    watcher.observe(room.current);
    return () => watcher.disconnect();
  }, []);
  return [room, width] as const;
}
