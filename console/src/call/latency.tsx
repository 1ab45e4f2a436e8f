import { useMemo } from "preact/hooks";
import { latency, plural } from "../format.ts";
import { Figure } from "../plot/figure.tsx";
import { type Frame, Plot } from "../plot/frame.tsx";
import { Mark } from "../plot/marks.tsx";
import { type Answer, height, type Stage, STAGES } from "./answers.ts";
import { elapsed, tick } from "./axis.ts";
import type { Span } from "./drawn.ts";
import { MessageLink } from "./place.tsx";
import { LEFT } from "./timeline.tsx";
import type { CallLatency } from "../../../clients/typescript/src/types.ts";

interface Props {
  answers: readonly Answer[];
  /** Of the whole call. */
  figures: CallLatency | undefined;
  begun: number;
  span: Span;
  onPick: (answer: Answer) => void;
}

const TITLE = "Latency of answers";
const HEIGHT = 170;
const NAMES: Record<Stage, string> = { stt: "speech recognition", llm: "language model", tts: "speech synthesis" };
const WIDEST = 10; // pixels of a bar
const ROWS = 1000;

/** How long the user waited for each answer, by the stages that are known. */
export function Latency({ answers, figures, begun, span, onPick }: Props) {
  const shown = useMemo(() => answers.filter(({ at }) => at >= span[0] && at <= span[1]), [answers, span[0], span[1]]);
  const most = Math.max(1, figures?.p95 ?? 0, ...shown.map(height));
  const nearest = (x: number) =>
    shown.reduce<Answer | undefined>(
      (best, answer) => (!best || Math.abs(answer.at - begun - x) < Math.abs(best.at - begun - x) ? answer : best),
      undefined,
    );
  if (answers.length === 0)
    return (
      <section class="none">
        <h2>{TITLE}</h2>
        <p class="dim">No answer of this call has a latency on record.</p>
      </section>
    );
  return (
    <Figure
      title={TITLE}
      sentence={sentence(answers, figures, begun)}
      columns={["Answer", "At", "Total", ...STAGES.map((stage) => NAMES[stage])]}
      rows={() => rows(shown, begun)}
    >
      <Plot
        x={{ kind: "elapsed", domain: [span[0] - begun, span[1] - begun], format: tick }}
        y={{ kind: "linear", domain: [0, most * 1.08], format: (ms) => (ms === 0 ? "0" : latency(ms)) }}
        height={HEIGHT}
        left={LEFT}
        readout={(x) => readout(nearest(x), begun)}
        onPick={(x) => {
          const answer = nearest(x);
          if (answer) onPick(answer);
        }}
      >
        {(frame) => (
          <g class="stages">
            <Fills />
            <Bars answers={shown} begun={begun} frame={frame} />
            {figures?.p50 != null && <Mark frame={frame} y={figures.p50}>{`p50 ${latency(figures.p50)}`}</Mark>}
            {figures?.p95 != null && <Mark frame={frame} y={figures.p95}>{`p95 ${latency(figures.p95)}`}</Mark>}
          </g>
        )}
      </Plot>
      <ul class="legend" aria-hidden="true">
        {STAGES.filter((stage) => answers.some((answer) => answer[stage] !== null)).map((stage) => (
          <Sample key={stage} look={stage} name={NAMES[stage]} />
        ))}
        <Sample look="rest" name="not accounted for" />
      </ul>
    </Figure>
  );
}

function Sample({ look, name }: { look: string; name: string }) {
  return (
    <li>
      <svg width="18" height="11" class="stages">
        <path class={`stage ${look}`} d="M1 .5h16v10h-16z" />
      </svg>
      {name}
    </li>
  );
}

function sentence(answers: readonly Answer[], figures: CallLatency | undefined, begun: number): string {
  const slowest = answers.reduce((worst, answer) => (height(answer) > height(worst) ? answer : worst));
  const of = figures?.count ? `p50 ${latency(figures.p50)}, p95 ${latency(figures.p95)} of ${plural(figures.count, "answer")}; ` : "";
  return `${of}the slowest took ${latency(height(slowest))} at ${elapsed(slowest.at - begun)}.`;
}

function rows(answers: readonly Answer[], begun: number) {
  return answers
    .slice(0, ROWS)
    .map((answer) => [
      <MessageLink sequence={answer.sequence} />,
      elapsed(answer.at - begun),
      latency(answer.total),
      ...STAGES.map((stage) => latency(answer[stage])),
    ]);
}

function readout(answer: Answer | undefined, begun: number): string | undefined {
  if (!answer) return undefined;
  const stages = STAGES.filter((stage) => answer[stage] !== null).map((stage) => `${NAMES[stage]} ${latency(answer[stage])}`);
  return [`${elapsed(answer.at - begun)} · ${latency(height(answer))}`, ...stages].join(" · ");
}

/** The bars of answers, which are drawn again only if one of these changes. */
function Bars({ answers, begun, frame }: { answers: readonly Answer[]; begun: number; frame: Frame }) {
  return useMemo(
    () => (
      <>
        {bars(tallest(answers, begun, frame), begun, frame, widthOf(answers, frame)).map(([name, d]) => (
          <path key={name} class={`stage ${name}`} d={d} />
        ))}
      </>
    ),
    [answers, begun, frame.left, frame.right, frame.y(1)],
  );
}

/** Returns the stages of all answers upon each other, up to their totals: an element for each stage. */
function bars(answers: readonly Answer[], begun: number, { x, y }: Frame, width: number): [name: string, d: string][] {
  const found: Record<Stage | "rest", string> = { stt: "", llm: "", tts: "", rest: "" };
  for (const answer of answers) {
    const left = (x(answer.at - begun) - width / 2).toFixed(1);
    let base = 0;
    const stack = (name: Stage | "rest", value: number) => {
      if (value <= 0) return;
      found[name] += `M${left} ${y(base).toFixed(1)}h${width.toFixed(1)}V${y(base + value).toFixed(1)}H${left}z`;
      base += value;
    };
    for (const stage of STAGES) stack(stage, answer[stage] ?? 0);
    stack("rest", height(answer) - base);
  }
  return Object.entries(found);
}

/** Returns the answers that are drawn: of those in one pixel the slowest. */
function tallest(answers: readonly Answer[], begun: number, frame: Frame): Answer[] {
  const found = new Map<number, Answer>();
  for (const answer of answers) {
    const place = Math.round(frame.x(answer.at - begun));
    const other = found.get(place);
    if (!other || height(answer) > height(other)) found.set(place, answer);
  }
  return [...found.values()];
}

function widthOf(answers: readonly Answer[], { left, right }: Frame): number {
  return Math.max(1.5, Math.min(WIDEST, (right - left) / (answers.length * 1.5)));
}

/** Fills that tell the stages apart without a colour. */
function Fills() {
  return (
    <defs>
      <pattern id="fill-llm" class="stage llm" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <path d="M0 0V4" />
      </pattern>
      <pattern id="fill-tts" class="stage tts" width="4" height="4" patternUnits="userSpaceOnUse">
        <path d="M1 1h1.6v1.6h-1.6z" />
      </pattern>
    </defs>
  );
}
