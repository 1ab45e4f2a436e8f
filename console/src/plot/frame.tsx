/** The frame of a plot: axes with their labels, and where the pointer is. What is drawn inside gets its scales. */
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Axis, type Scale, scaleOf } from "./scale.ts";
import { slider, type Stops } from "./stops.ts";

export interface Frame {
  readonly x: Scale;
  readonly y: Scale;
  /** The rectangle that marks are drawn in, in pixels. */
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
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
  /** What a click at a place on the x axis does, or Enter at a stop. */
  onPick?: (x: number) => void;
  /** The points that the arrow keys visit, for a plot with a `readout` of plain text. */
  stops?: Stops;
  children: (frame: Frame) => ComponentChildren;
}

const MARGIN = { left: 52, right: 12, top: 8, bottom: 22 };
const EACH = { x: 90, y: 36 }; // pixels for a tick
const EDGE = 12; // pixels before the right edge, where the middle of a label would not fit

/** Draws the axes, and what `children` returns between them. The plot itself is hidden from screen readers: `Figure`. */
export function Plot({ x, y, height = 180, left = MARGIN.left, readout, onPick, stops, children }: Props) {
  const [room, width] = useWidth();
  const [pointer, setPointer] = useState<number>();
  const frame = {
    left,
    right: Math.max(left + 1, width - MARGIN.right),
    top: MARGIN.top,
    bottom: height - MARGIN.bottom,
  };
  const [across, up] = [scaleOf(x, [frame.left, frame.right]), scaleOf(y, [frame.bottom, frame.top])];
  const text = pointer === undefined ? undefined : readout?.(pointer);
  const follow = (event: PointerEvent) => {
    const place = event.clientX - (event.currentTarget as Element).getBoundingClientRect().left;
    setPointer(place >= frame.left && place <= frame.right ? across.scale.invert(place) : undefined);
  };
  return (
    <div ref={room} class="plot" {...slider(stops, { place: pointer, text, go: setPointer, pick: onPick })}>
      {readout && <p class="readout">{text ?? " "}</p>}
      <svg
        aria-hidden="true"
        width={width}
        height={height}
        {...(readout && { onPointerMove: follow, onPointerLeave: () => setPointer(undefined) })}
        {...(onPick && { onClick: () => pointer !== undefined && onPick(pointer) })}
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
            <text y="16" text-anchor={across.scale(value) > frame.right - EDGE ? "end" : "middle"}>
              {words}
            </text>
          </g>
        ))}
        {children({ ...frame, x: across.scale, y: up.scale })}
        {pointer !== undefined && text !== undefined && (
          <line class="pointer" x1={across.scale(pointer)} x2={across.scale(pointer)} y1={frame.top} y2={frame.bottom} />
        )}
      </svg>
    </div>
  );
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
