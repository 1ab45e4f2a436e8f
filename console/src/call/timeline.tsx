import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import type { SegmentKind } from "../../../clients/typescript/src/types.ts";
import { count } from "../format.ts";
import { Said } from "../parts/said.tsx";
import { Figure } from "../plot/figure.tsx";
import { type Frame, Plot } from "../plot/frame.tsx";
import { elapsed, tick } from "./axis.ts";
import { LANES, lasting, type Mark, marksIn, segmentsAt, sentenceOf, type Span, type Timed } from "./drawn.ts";

interface Props {
  segments: readonly Timed[];
  /** The beginning of the call, in milliseconds since 1970. */
  begun: number;
  /** The time that is drawn. */
  span: Span;
  /** The part of it that the transcript shows, undefined if that is all. */
  part: Span | undefined;
  /** Whether the call goes on after the last segment. */
  isCut: boolean;
  onPick: (segment: Timed) => void;
}

const HEIGHT = 200;
export const LEFT = 84; // pixels for the names of the lanes
const SIDE = 9; // half the height of a speech, in pixels
const REACH = 4; // pixels at which the pointer finds a moment
const LABELLED = 40; // pixels from which on the length of a silence has room
const ROWS = 1000;

/** Who spoke when, and what happened, in lanes over the time of the call. */
export function Timeline({ segments, begun, span, part, isCut, onPick }: Props) {
  const domain = [span[0] - begun, span[1] - begun] as const;
  const pixel = (span[1] - span[0]) / 800;
  const sentence = useMemo(() => sentenceOf(segments), [segments]);
  const near = (x: number) => segmentsAt(segments, begun + x, pixel * REACH);
  return (
    <Figure
      title="Timeline"
      sentence={sentence + (isCut ? " Drawn to here; the call goes on." : "")}
      columns={["From", "To", "Lane", "What", "Words", "Times"]}
      rows={() => rows(segments, begun, span)}
    >
      <Plot
        x={{ kind: "elapsed", domain, format: tick }}
        y={{ kind: "linear", domain: [LANES.length - 0.5, -0.5], at: LANES.map((_, lane) => lane), format: (lane) => LANES[lane]![1] }}
        height={HEIGHT}
        left={LEFT}
        readout={(x) => <Readout at={x} segments={near(x)} />}
        onPick={(x) => {
          const [first] = near(x).filter(({ message_id }) => message_id !== null);
          if (first) onPick(first);
        }}
      >
        {(frame) => (
          <g class="timeline">
            <Patterns />
            {part && <Part frame={frame} from={part[0] - begun} to={part[1] - begun} />}
            <Drawn segments={segments} span={span} frame={frame} begun={begun} />
          </g>
        )}
      </Plot>
      <Key segments={segments} />
    </Figure>
  );
}

function rows(segments: readonly Timed[], begun: number, span: Span) {
  const shown = segments.filter(({ start, end }) => end >= span[0] && start <= span[1]);
  const first = shown
    .slice(0, ROWS)
    .map((segment) => [
      elapsed(segment.start - begun),
      segment.ended_at === null ? "goes on" : elapsed(segment.end - begun),
      segment.lane,
      words(segment),
      <Said text={segment.label} />,
      segment.estimated ? "estimated" : "",
    ]);
  if (shown.length <= ROWS) return first;
  return [...first, ["…", "", "", `${count(shown.length - ROWS)} more: look at a part alone`, "", ""]];
}

function Readout({ at, segments }: { at: number; segments: readonly Timed[] }) {
  return (
    <>
      {elapsed(at)}
      {segments.slice(0, 3).map((segment) => (
        <span key={`${segment.kind} ${segment.started_at}`}>
          {" · "}
          {segment.lane}
          {segment.kind === "speech" ? "" : ` ${words(segment)}`}
          {segment.estimated ? " (estimated)" : ""}: <Said text={segment.label} />
        </span>
      ))}
    </>
  );
}

/** The part that the transcript shows, if that is not all. */
function Part({ frame, from, to }: { frame: Frame; from: number; to: number }) {
  const [left, right] = [Math.max(frame.left, frame.x(from)), Math.min(frame.right, frame.x(to))];
  return <rect class="part" x={left} y={frame.top} width={Math.max(2, right - left)} height={frame.bottom - frame.top} />;
}

// Half the heights of the segments that are boxes, in pixels.
const BOXES: Readonly<Partial<Record<SegmentKind, number>>> = {
  speech: SIDE,
  backchannel: 4,
  wordless: 6,
  call: 6,
  failed_call: 6,
  cancelled_call: 6,
  session: 3,
};
const HOLLOW: ReadonlySet<SegmentKind> = new Set(["wordless", "failed_call", "cancelled_call"]);

interface DrawnProps {
  segments: readonly Timed[];
  span: Span;
  frame: Frame;
  begun: number;
}

/** The segments in a span, which are drawn again only if one of these changes. */
function Drawn({ segments, span, frame, begun }: DrawnProps) {
  const { left, right } = frame;
  return useMemo(
    () => draw(marksIn(segments, span, (span[1] - span[0]) / (right - left)), frame, begun),
    [segments, span[0], span[1], left, right, begun],
  );
}

/** Segments by their kinds: shapes and outlines say what colours say, too. All boxes of one look are one element. */
function draw(marks: readonly Mark[], frame: Frame, begun: number) {
  const boxes = new Map<string, string>();
  const others: ComponentChildren[] = [];
  for (const { segment, start, end, count: number } of marks) {
    const { lane, kind, estimated } = segment;
    const y = frame.y(LANES.findIndex(([name]) => name === lane));
    const [left, right] = [start, end].map((at) =>
      round(Math.min(frame.right, Math.max(frame.left, frame.x(at - begun)))),
    ) as [number, number];
    const half = BOXES[kind];
    if (half !== undefined) {
      const look = `lane box ${lane}${HOLLOW.has(kind) ? " hollow" : ""}${estimated ? " estimated" : ""}`;
      const box = `M${left} ${y - half}h${Math.max(1.5, round(right - left))}v${2 * half}H${left}z`;
      boxes.set(look, (boxes.get(look) ?? "") + box);
    }
    const d = MOMENTS[kind];
    if (d) others.push(<path class={`lane moment ${lane} ${kind}`} transform={`translate(${left} ${y})`} d={d} />);
    if (kind === "reconnect") others.push(<path class="lane break" d={`M${left - 2} ${y + SIDE}l4-${2 * SIDE}M${right - 2} ${y + SIDE}l4-${2 * SIDE}`} />);
    if (kind === "silence") others.push(<Silence left={left} right={right} y={y} length={number === 1 ? lasting(end - start) : ""} />);
  }
  return (
    <>
      {[...boxes].map(([look, d]) => (
        <path key={look} class={look} d={d} />
      ))}
      {others}
    </>
  );
}

function Silence({ left, right, y, length }: { left: number; right: number; y: number; length: string }) {
  return (
    <g class="lane silence">
      <path d={`M${left} ${y - 4}v8m0-4H${right}m0-4v8`} />
      {right - left > LABELLED && (
        <text x={(left + right) / 2} y={y - 5} text-anchor="middle">
          {length}
        </text>
      )}
    </g>
  );
}

function round(pixels: number): number {
  return Math.round(pixels * 10) / 10;
}

const SHAPES: Readonly<Partial<Record<SegmentKind, string>>> = {
  error: "M-5-5l10 10M5-5l-10 10",
  warning: "M0-6l6 11h-12z",
  refused_injection: "M-5-5h10v10h-10z",
  frustration: "M0-6l6 6l-6 6l-6-6z",
  repaired: "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
  late: "M-5-5L0 0L5-5M-5 1L0 6L5 1",
  client_lost: "M-5 0h10M0-5v10M-4-4l8 8M4-4l-8 8",
};

// Around the time of a segment, and the middle of its lane.
const MOMENTS: Readonly<Partial<Record<SegmentKind, string>>> = {
  ...SHAPES,
  interruption: `M-5-${SIDE + 3}h10l-5 ${SIDE + 6}z`,
  text: "M-4-4h8v8h-8z",
  failed_call: "M-4-4l8 8M4-4l-8 8",
};

// Around the middle of a sample.
const KEY: readonly (readonly [words: string, has: (segment: Timed) => boolean, d: string, look?: string])[] = [
  ["estimated times", ({ estimated }) => estimated, "M-8-4h16v8h-16z", "estimated"],
  ["no words", ({ kind }) => kind === "wordless", "M-8-3h16v6h-16z"],
  ["typed", ({ kind }) => kind === "text", "M-4-4h8v8h-8z", "full"],
  ["silence over 2 s", ({ kind }) => kind === "silence", "M-8-4v8M-8 0h16M8-4v8"],
  ["interruption", ({ kind }) => kind === "interruption", "M-5-5h10l-5 10z", "full"],
  ["reconnect", ({ kind }) => kind === "reconnect", "M-5 5l4-10M1 5l4-10"],
  ["failed call", ({ kind }) => kind === "failed_call", "M-4-4l8 8M4-4l-8 8"],
  ...Object.entries(SHAPES).map(
    ([kind, d]) => [kind.replaceAll("_", " "), (segment: Timed) => segment.kind === kind, d, kind] as const,
  ),
];

/** What the shapes mean that are there. */
function Key({ segments }: { segments: readonly Timed[] }) {
  const found = useMemo(() => KEY.filter(([, has]) => segments.some(has)), [segments]);
  return (
    <ul class="legend" aria-hidden="true">
      {found.map(([name, , d, look]) => (
        <li key={name}>
          <svg width="18" height="14" class={`sample ${look ?? ""}`}>
            <path transform="translate(9 7)" d={d} />
          </svg>
          {name}
        </li>
      ))}
    </ul>
  );
}

/** What hatches estimated spans, in the colour of each lane. */
function Patterns() {
  return (
    <defs>
      {LANES.map(([lane]) => (
        <pattern key={lane} id={`hatch-${lane}`} class={`lane ${lane}`} width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
          <path d="M0 0V4" />
        </pattern>
      ))}
    </defs>
  );
}

function words({ kind }: Timed): string {
  return kind.replaceAll("_", " ");
}
