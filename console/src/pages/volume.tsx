import type { Figures, Stats } from "../../../clients/typescript/src/types.ts";
import { isoDay } from "../days.ts";
import { most, type Span, spansOf } from "../figures/buckets.ts";
import { Counted } from "../figures/counted.tsx";
import { share } from "../figures/histogram.ts";
import { Counts, name } from "../figures/over-time.tsx";
import { count, plural } from "../format.ts";
import { Figure } from "../plot/figure.tsx";
import { href } from "../route.ts";

interface Measure {
  title: string;
  value: (figures: Figures) => number;
  /** What its sum says beside its number. */
  words: (total: Figures) => string;
  /** By default that of whole numbers. */
  format?: (value: number) => string;
}

const MEASURES: readonly Measure[] = [
  { title: "Calls", value: ({ calls }) => calls, words: ({ calls }) => plural(calls, "call") },
  {
    title: "Minutes",
    value: ({ minutes }) => minutes,
    words: ({ minutes }) => `${tenths(minutes)} minutes of calls that have ended`,
    format: tenths,
  },
  { title: "Turns", value: ({ turns }) => turns, words: ({ turns }) => `${plural(turns, "turn")}, of both sides` },
  {
    title: "Interruptions",
    value: ({ interruptions }) => interruptions,
    words: ({ interruptions }) => plural(interruptions, "interrupted answer"),
  },
  { title: "Abandoned", value: ({ abandoned }) => abandoned, words: ({ abandoned, calls }) => ofCalls(abandoned, calls) },
  { title: "Incomplete", value: ({ incomplete }) => incomplete, words: ({ incomplete, calls }) => ofCalls(incomplete, calls) },
];

/** `1,234` or `12.5`: a tenth of a minute matters only while there are few. */
function tenths(value: number): string {
  return value < 100 ? String(Math.round(10 * value) / 10) : count(value);
}

function ofCalls(some: number, calls: number): string {
  return `${count(some)} of ${plural(calls, "call")}, ${share(some, calls)}`;
}

/** How much happened: calls and what went wrong in them, over time. */
export function Volume() {
  return (
    <Counted title="Volume" what="calls" isNothing={({ total }) => total.calls + total.turns + sum(total.incidents) === 0}>
      {(stats) => <Plots stats={stats} />}
    </Counted>
  );
}

function Plots({ stats }: { stats: Stats }) {
  const spans = spansOf(stats);
  return (
    <>
      <dl class="facts">
        {MEASURES.map(({ title, value, format = count }) => (
          <div key={title}>
            <dt>{title}</dt>
            <dd>{format(value(stats.total))}</dd>
          </div>
        ))}
        <div>
          <dt>Incidents</dt>
          <dd>{count(sum(stats.total.incidents))}</dd>
        </div>
      </dl>
      <p class="hint">
        A call counts when it began; <a href={listOf(stats)}>see the calls of these days</a>.
      </p>
      <div class="multiples measures">
        {MEASURES.map((measure) => (
          <OneMeasure key={measure.title} stats={stats} spans={spans} measure={measure} />
        ))}
      </div>
      <ByKind stats={stats} spans={spans} title="Incidents by type" kinds="incidents" none="No incident: nothing failed, and no user was frustrated." />
      <ByKind stats={stats} spans={spans} title="Intents" kinds="intents" none="No call has an intent." />
    </>
  );
}

interface SpansProps {
  stats: Stats;
  spans: readonly Span[];
}

function OneMeasure({ stats, spans, measure: { title, value, words, format = count } }: SpansProps & { measure: Measure }) {
  const peak = most(spans, value);
  const top = peak && spans.length > 1 ? `; most, ${format(value(peak.figures))}, ${name(peak)}` : "";
  return (
    <Figure
      title={title}
      sentence={`${words(stats.total)}${top}.`}
      columns={["From – to", title]}
      rows={() => spans.map((span) => [name(span), format(value(span.figures))])}
    >
      {peak && <Counts stats={stats} spans={spans} of={title} value={value} format={format} />}
    </Figure>
  );
}

interface KindProps extends SpansProps {
  title: string;
  kinds: "incidents" | "intents";
  none: string;
}

/** A plot for each kind, all with the same axes, so that no colour needs to tell them apart. */
function ByKind({ stats, spans, title, kinds, none }: KindProps) {
  const found = Object.entries(stats.total[kinds]).sort(([, one], [, other]) => other - one);
  const top = Math.max(0, ...spans.flatMap(({ figures }) => Object.values(figures[kinds])));
  if (found.length === 0)
    return (
      <section>
        <h2>{title}</h2>
        <p class="dim">{none}</p>
      </section>
    );
  return (
    <Figure
      title={title}
      sentence={`${found.map(([kind, number]) => `${inWords(kind)} ${count(number)}`).join(", ")}.`}
      columns={["From – to", ...found.map(([kind]) => inWords(kind))]}
      rows={() => spans.map((span) => [name(span), ...found.map(([kind]) => count(span.figures[kinds][kind] ?? 0))])}
    >
      <div class="multiples">
        {found.map(([kind, number]) => (
          <div key={kind}>
            <h3>
              {inWords(kind)} · {count(number)}
            </h3>
            <Counts stats={stats} spans={spans} of={inWords(kind)} value={(figures) => figures[kinds][kind] ?? 0} height={90} top={top} />
          </div>
        ))}
      </div>
    </Figure>
  );
}

/** `FrustrationDetected` and `NEW_TASK` as words. */
function inWords(kind: string): string {
  const words = kind.replaceAll("_", " ").replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, each) => total + each, 0);
}

function listOf({ since, until }: Stats): string {
  return href(["calls"], { since: isoDay(new Date(since)), until: isoDay(new Date(Date.parse(until) - 1)) });
}
