import { count } from "../format.ts";
import { Said } from "../parts/said.tsx";
import { Figure } from "../plot/figure.tsx";
import { type Frame, Plot } from "../plot/frame.tsx";
import { elapsed } from "./axis.ts";
import { LANES, lasting, type Mark, marksIn, segmentsAt, sentenceOf, type Span, type Timed } from "./drawn.ts";

interface Props {
  segments: readonly Timed[];
  /** The beginning of the call, in milliseconds since 1970. */
  begun: number;
  /** The part that is shown, and the part that the transcript shows. */
  span: Span;
  read: Span | undefined;
  onPick: (segment: Timed) => void;
}

const HEIGHT = 230;
export const LEFT = 84; // pixels for the names of the lanes
const SIDE = 9; // half the height of a speech, in pixels
const REACH = 4; // pixels at which the pointer finds a moment
const ROWS = 1000;

/** Who spoke when, and what happened, in lanes over the time of the call. */
export function Timeline({ segments, begun, span, read, onPick }: Props) {
  const domain = [span[0] - begun, span[1] - begun] as const;
  const pixel = (span[1] - span[0]) / 800;
  const near = (x: number) => segmentsAt(segments, begun + x, pixel * REACH);
  return (
    <Figure
      title="Timeline"
      sentence={sentenceOf(segments)}
      columns={["From", "To", "Lane", "What", "Words", "Times"]}
      rows={() => rows(segments, begun, span)}
    >
      <Plot
        x={{ kind: "elapsed", domain, format: elapsed }}
        y={{ kind: "linear", domain: [LANES.length - 0.5, -0.5], format: (lane) => LANES[lane]?.[1] ?? "" }}
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
            {read && <Part frame={frame} from={read[0] - begun} to={read[1] - begun} />}
            {marksIn(segments, span, (span[1] - span[0]) / (frame.right - frame.left)).map((mark, index) => (
              <Drawn key={index} mark={mark} frame={frame} begun={begun} />
            ))}
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

/** A segment, by its kind: shapes and outlines say what colours say, too. */
function Drawn({ mark: { segment, start, end, count: number }, frame, begun }: { mark: Mark; frame: Frame; begun: number }) {
  const { lane, kind, estimated } = segment;
  const y = frame.y(LANES.findIndex(([name]) => name === lane));
  const place = (at: number) => Math.min(frame.right, Math.max(frame.left, frame.x(at - begun)));
  const [left, right] = [place(start), place(end)];
  const width = Math.max(1.5, right - left);
  const moment = (d: string) => <path class="moment" transform={`translate(${left.toFixed(1)} ${y})`} d={d} />;
  const box = (half: number, look = "") => (
    <rect class={estimated ? `${look} estimated` : look} x={left} y={y - half} width={width} height={2 * half} />
  );
  switch (kind) {
    case "silence":
      return (
        <g class={`lane ${lane} silence`}>
          <path d={`M${left} ${y - 4}V${y + 4}M${left} ${y}H${right}M${right} ${y - 4}V${y + 4}`} />
          {number === 1 && right - left > 40 && (
            <text x={(left + right) / 2} y={y - 5} text-anchor="middle">
              {lasting(end - start)}
            </text>
          )}
        </g>
      );
    case "reconnect":
      return (
        <g class={`lane ${lane} reconnect`}>
          <rect x={left} y={y - SIDE} width={width} height={2 * SIDE} />
          <path d={`M${left - 2} ${y + SIDE}l4-${2 * SIDE}M${right - 2} ${y + SIDE}l4-${2 * SIDE}`} />
        </g>
      );
    case "interruption":
      return <g class={`lane ${lane}`}>{moment(`M-5-${SIDE + 3}h10l-5 ${SIDE + 6}z`)}</g>;
    case "text":
      return <g class={`lane ${lane}`}>{moment("M-4-4h8v8h-8z")}</g>;
    case "session":
      return <g class={`lane ${lane}`}>{box(3)}</g>;
    case "backchannel":
      return <g class={`lane ${lane}`}>{box(4)}</g>;
    case "wordless":
      return <g class={`lane ${lane}`}>{box(SIDE - 3, "hollow")}</g>;
    case "call":
    case "failed_call":
    case "cancelled_call":
      return (
        <g class={`lane ${lane}`}>
          {box(SIDE - 3, kind === "call" ? "" : "hollow")}
          {kind === "failed_call" && moment("M-4-4l8 8M4-4l-8 8")}
        </g>
      );
    case "speech":
      return <g class={`lane ${lane}`}>{box(SIDE)}</g>;
    default:
      return <g class={`lane ${lane} ${kind}`}>{moment(SHAPES[kind] ?? "")}</g>;
  }
}

const SHAPES: Readonly<Record<string, string>> = {
  error: "M-5-5l10 10M5-5l-10 10",
  warning: "M0-6l6 11h-12z",
  refused_injection: "M-5-5h10v10h-10z",
  frustration: "M0-6l6 6l-6 6l-6-6z",
  repaired: "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
  late: "M-5-5L0 0L5-5M-5 1L0 6L5 1",
  client_lost: "M-5 0h10M0-5v10M-4-4l8 8M4-4l-8 8",
};

const KEY: readonly (readonly [words: string, has: (segment: Timed) => boolean, d: string, look?: string])[] = [
  ["estimated times", ({ estimated }) => estimated, "M1 1h16v8h-16z", "estimated"],
  ["no words", ({ kind }) => kind === "wordless", "M1 2h16v6h-16z", "hollow"],
  ["silence over 2 s", ({ kind }) => kind === "silence", "M1 1v8M1 5h16M17 1v8"],
  ["interruption", ({ kind }) => kind === "interruption", "M4 0h10l-5 10z", "full"],
  ["reconnect", ({ kind }) => kind === "reconnect", "M4 10l4-10M11 10l4-10"],
  ["failed call", ({ kind }) => kind === "failed_call", "M5 1l8 8M13 1l-8 8"],
  ...Object.entries(SHAPES).map(
    ([kind, d]) => [kind.replaceAll("_", " "), (segment: Timed) => segment.kind === kind, `M9 5m0 0${d.replace("M", "m")}`, kind] as const,
  ),
];

/** What the shapes mean that are there. */
function Key({ segments }: { segments: readonly Timed[] }) {
  return (
    <ul class="legend" aria-hidden="true">
      {KEY.filter(([, has]) => segments.some(has)).map(([name, , d, look]) => (
        <li key={name}>
          <svg width="18" height="11" class={`sample ${look ?? ""}`}>
            <path d={d} />
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
