import { latency, plural } from "../format.ts";
import { Figure } from "../plot/figure.tsx";
import { type Frame, Plot } from "../plot/frame.tsx";
import { Mark } from "../plot/marks.tsx";
import { type Answer, height, type Stage, STAGES } from "./answers.ts";
import { elapsed } from "./axis.ts";
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

const HEIGHT = 170;
const NAMES: Record<Stage, string> = { stt: "speech recognition", llm: "language model", tts: "speech synthesis" };
const WIDEST = 10; // pixels of a bar
const ROWS = 1000;

/** How long the user waited for each answer, by the stages that are known. */
export function Latency({ answers, figures, begun, span, onPick }: Props) {
  const shown = answers.filter(({ at }) => at >= span[0] && at <= span[1]);
  const most = Math.max(1, figures?.p95 ?? 0, ...shown.map(height));
  const nearest = (x: number) =>
    shown.reduce<Answer | undefined>(
      (best, answer) => (!best || Math.abs(answer.at - begun - x) < Math.abs(best.at - begun - x) ? answer : best),
      undefined,
    );
  return (
    <Figure
      title="Latency of answers"
      sentence={sentence(answers, figures, begun)}
      columns={["Answer", "At", "Total", ...STAGES.map((stage) => NAMES[stage])]}
      rows={() => rows(shown, begun)}
    >
      {answers.length > 0 && (
        <>
          <Plot
            x={{ kind: "elapsed", domain: [span[0] - begun, span[1] - begun], format: elapsed }}
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
                {tallest(shown, begun, frame).map((answer) => (
                  <Bar key={answer.sequence} answer={answer} begun={begun} frame={frame} width={widthOf(shown, frame)} />
                ))}
                {figures?.p50 != null && <Mark frame={frame} y={figures.p50}>{`p50 ${latency(figures.p50)}`}</Mark>}
                {figures?.p95 != null && <Mark frame={frame} y={figures.p95}>{`p95 ${latency(figures.p95)}`}</Mark>}
              </g>
            )}
          </Plot>
          <ul class="legend" aria-hidden="true">
            {STAGES.filter((stage) => answers.some((answer) => answer[stage] !== null)).map((stage) => (
              <li key={stage}>
                <svg width="18" height="11" class="stages">
                  <rect class={`stage ${stage}`} x="1" y="0.5" width="16" height="10" />
                </svg>
                {NAMES[stage]}
              </li>
            ))}
            <li>
              <svg width="18" height="11" class="stages">
                <rect class="stage rest" x="1" y="0.5" width="16" height="10" />
              </svg>
              not accounted for
            </li>
          </ul>
        </>
      )}
    </Figure>
  );
}

function sentence(answers: readonly Answer[], figures: CallLatency | undefined, begun: number): string {
  if (answers.length === 0) return "No answer of this call has a latency on record.";
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

/** The stages of an answer upon each other, up to its total. */
function Bar({ answer, begun, frame, width }: { answer: Answer; begun: number; frame: Frame; width: number }) {
  const x = frame.x(answer.at - begun) - width / 2;
  let base = 0;
  const box = (name: string, value: number) => {
    const [bottom, top] = [frame.y(base), frame.y(base + value)];
    base += value;
    return value > 0 && <rect key={name} class={`stage ${name}`} x={x} y={top} width={width} height={Math.max(0.5, bottom - top - 0.5)} />;
  };
  return (
    <>
      {STAGES.map((stage) => box(stage, answer[stage] ?? 0))}
      {box("rest", height(answer) - base)}
    </>
  );
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
