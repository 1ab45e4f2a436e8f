import type { Figures, LatencyFigures, Percentiles, SlowAnswer, Stats } from "../../../clients/typescript/src/types.ts";
import { middle, most, type Span, spansOf } from "../figures/buckets.ts";
import { Counted } from "../figures/counted.tsx";
import { barsOf, bound, inWords, range, share } from "../figures/histogram.ts";
import { Counts, name, reader, timeAxis } from "../figures/over-time.tsx";
import { count, latency, plural } from "../format.ts";
import { useRows } from "../parts/rows.ts";
import { type Column, Table } from "../parts/table.tsx";
import { Time } from "../parts/time.tsx";
import { Figure } from "../plot/figure.tsx";
import { Plot } from "../plot/frame.tsx";
import { Bars, ENOUGH, Legend, Line, Mark, type Series } from "../plot/marks.tsx";
import { around } from "../plot/scale.ts";
import { href } from "../route.ts";

type Stage = keyof LatencyFigures;
const STAGES: readonly (readonly [Stage, string])[] = [
  ["total", "Whole answer"],
  ["stt", "Speech recognition"],
  ["llm", "Language model"],
  ["tts", "Speech synthesis"],
];
const PERCENTILES = ["p50", "p90", "p95", "p99"] as const;
type Share = (typeof PERCENTILES)[number];

/** How long users waited for answers: over time, by stage, and for which answers longest. */
export function Latency() {
  useRows();
  return (
    <Counted title="Latency" what="answers with a known latency" isNothing={({ total }) => STAGES.every(([stage]) => total.latency_ms[stage].count === 0)}>
      {(stats) => <Plots stats={stats} />}
    </Counted>
  );
}

function Plots({ stats }: { stats: Stats }) {
  const spans = spansOf(stats);
  return (
    <div class="figures">
      <div>
        <Table caption="Percentiles of the period" columns={SUMMARY} rows={STAGES.map(([stage, title]) => ({ title, of: stats.total.latency_ms[stage] }))} rowKey={({ title }) => title} />
        <Worst answer={stats.slowest[0]} />
        <OverTime stats={stats} spans={spans} />
        <div class="multiples">
          {STAGES.slice(1).map(([stage, title]) => (
            <OneStage key={stage} stats={stats} spans={spans} stage={stage} title={title} />
          ))}
        </div>
        <Histogram stats={stats} />
      </div>
      <Slowest answers={stats.slowest} />
    </div>
  );
}

const SUMMARY: readonly Column<{ title: string; of: Percentiles }>[] = [
  { title: "Latency", cell: ({ title }) => title },
  ...PERCENTILES.map((share): Column<{ title: string; of: Percentiles }> => ({
    title: share,
    numeric: true,
    cell: ({ of }) => <span class={of.count < ENOUGH ? "dim" : ""}>{latency(of[share])}</span>,
  })),
  { title: "Answers", numeric: true, cell: ({ of }) => (of.count > 0 && of.count < ENOUGH ? `${count(of.count)}, few` : count(of.count)) },
];

interface TimeProps {
  stats: Stats;
  spans: readonly Span[];
}

function OverTime({ stats, spans }: TimeProps) {
  return (
    <Figure
      title="Answers over time"
      sentence={sentence(stats.total.latency_ms.total, spans, "total")}
      columns={["From – to", ...PERCENTILES, "Answers"]}
      rows={() => rows(spans, "total", PERCENTILES)}
    >
      <Lines stats={stats} spans={spans} stage="total" shares={PERCENTILES} label="Percentiles of answers over time" height={200} />
      <Legend names={PERCENTILES} />
      <h3>How many answers each point is made of</h3>
      <Counts stats={stats} spans={spans} of="Answers" value={({ latency_ms }) => latency_ms.total.count} height={80} series={4} />
    </Figure>
  );
}

const OF_STAGE: readonly Share[] = ["p50", "p95"];

function OneStage({ stats, spans, stage, title }: TimeProps & { stage: Stage; title: string }) {
  const figures = stats.total.latency_ms[stage];
  return (
    <Figure
      title={title}
      sentence={sentence(figures, spans, stage)}
      columns={["From – to", ...OF_STAGE, "Answers"]}
      rows={() => rows(spans, stage, OF_STAGE)}
    >
      {figures.count > 0 && (
        <>
          <Lines stats={stats} spans={spans} stage={stage} shares={OF_STAGE} label={`${title} over time`} height={150} />
          <Legend names={OF_STAGE} />
        </>
      )}
    </Figure>
  );
}

interface LinesProps extends TimeProps {
  stage: Stage;
  shares: readonly Share[];
  label: string;
  height: number;
}

/** A line for each percentile, on a log axis: the slowest hundredth would make the others one flat line. */
function Lines({ stats, spans, stage, shares, label, height }: LinesProps) {
  const stages = stage === "total" ? (["total"] as const) : (["stt", "llm", "tts"] as const);
  const values = stages.flatMap((each) => spans.flatMap(({ figures }) => shares.map((share) => figures.latency_ms[each][share] ?? 0)));
  const [least, largest] = around(values) ?? [100, 1000];
  return (
    <Plot
      x={timeAxis(stats)}
      y={{ kind: "log", domain: [least, largest], format: bound }}
      height={height}
      readout={reader(spans, ({ latency_ms }) => readOut(latency_ms[stage], shares))}
      stops={{ label, places: spans.filter(({ figures }) => figures.latency_ms[stage].count > 0).map(middle) }}
    >
      {(frame) =>
        shares.map((share, index) => (
          <Line
            key={share}
            frame={frame}
            series={(index + 1) as Series}
            points={spans.map((span) => {
              const { [share]: value, count: samples } = span.figures.latency_ms[stage];
              return { x: middle(span), y: value == null ? null : Math.max(value, least), count: samples };
            })}
          />
        ))
      }
    </Plot>
  );
}

function readOut(of: Percentiles, shares: readonly Share[]): string {
  if (of.count === 0) return "no answers";
  return [...shares.map((share) => `${share} ${latency(of[share])}`), plural(of.count, "answer")].join(" · ");
}

function rows(spans: readonly Span[], stage: Stage, shares: readonly Share[]) {
  return spans.map((span) => {
    const of = span.figures.latency_ms[stage];
    return [name(span), ...shares.map((share) => latency(of[share])), count(of.count)];
  });
}

function sentence(of: Percentiles, spans: readonly Span[], stage: Stage): string {
  if (of.count === 0) return "Unknown: no answer says how long it took.";
  const p95 = ({ latency_ms }: Figures) => (latency_ms[stage].count >= ENOUGH ? latency_ms[stage].p95 : null);
  const worst = most(spans, p95);
  const begin = `p50 ${latency(of.p50)}, p95 ${latency(of.p95)} of ${plural(of.count, "answer")}`;
  if (!worst) return `${begin}. A hollow mark stands for fewer than ${ENOUGH} answers; there is no line between such.`;
  return `${begin}; p95 was worst ${name(worst)}, at ${latency(p95(worst.figures))}.`;
}

function Histogram({ stats: { histogram, total } }: { stats: Stats }) {
  if (histogram.length === 0) return null;
  const bars = barsOf(histogram);
  const { p50, p95, count: answers } = total.latency_ms.total;
  return (
    <Figure
      title="How many answers took how long"
      sentence={inWords(histogram)}
      columns={["Latency", "Answers", "Share"]}
      rows={() => histogram.map((part) => [range(part), count(part.count), share(part.count, answers)])}
    >
      <Plot
        x={{ kind: "log", domain: [bars[0]!.from, bars.at(-1)!.to], format: bound }}
        y={{ kind: "linear", domain: [0, 1.15 * Math.max(...bars.map(({ value }) => value))], format: count }}
        height={170}
        readout={(at) => {
          const bar = bars.find(({ from, to }) => at >= from && at < to);
          return bar && `${range(bar.part)} · ${plural(bar.value, "answer")} · ${share(bar.value, answers)}`;
        }}
        stops={{ label: "Answers by latency", places: bars.map(({ from, to }) => Math.sqrt(from * to)) }}
      >
        {(frame) => (
          <>
            <Bars frame={frame} bars={bars} />
            {p50 != null && <Mark frame={frame} x={p50}>p50</Mark>}
            {p95 != null && <Mark frame={frame} x={p95}>p95</Mark>}
          </>
        )}
      </Plot>
    </Figure>
  );
}

/** A link to the slowest answer, near the top also where the list of them stands below the plots. */
function Worst({ answer }: { answer: SlowAnswer | undefined }) {
  if (!answer) return null;
  return (
    <p class="worst">
      The slowest answer took{" "}
      <a href={placeOf(answer)}>
        {latency(answer.ms)}, <Time at={answer.at} />
      </a>
      .
    </p>
  );
}

/** The call finds an answer by its time. */
function placeOf({ conversation_id, at }: SlowAnswer): string {
  return href(["calls", conversation_id], { at });
}

function Slowest({ answers }: { answers: readonly SlowAnswer[] }) {
  if (answers.length === 0) return null;
  return (
    <section class="slowest" aria-labelledby="slowest">
      <h2 id="slowest">Slowest answers</h2>
      <p class="hint">Each opens its call, at what was said.</p>
      <Table caption="The slowest answers of the period, the slowest first" columns={SLOWEST} rows={answers} rowKey={({ message_id }) => message_id} />
    </section>
  );
}

const SLOWEST: readonly Column<SlowAnswer>[] = [
  {
    title: "Said",
    cell: (answer) => (
      <a href={placeOf(answer)} data-row>
        <Time at={answer.at} />
      </a>
    ),
  },
  { title: "Total", numeric: true, cell: ({ ms }) => <strong>{latency(ms)}</strong> },
  ...(["stt", "llm", "tts"] as const).map((stage): Column<SlowAnswer> => ({
    title: stage,
    numeric: true,
    cell: ({ stages }) => (stages[stage] === null ? <span class="dim">–</span> : latency(stages[stage])),
  })),
];
