import type { ComponentChildren } from "preact";
import type { Stats } from "../../../clients/typescript/src/types.ts";
import { ProblemError } from "../api.ts";
import { useLoad } from "../load.ts";
import { filter, NoHits, useClearKey } from "../parts/filters.tsx";
import { Heading } from "../parts/heading.tsx";
import { Loaded } from "../parts/loaded.tsx";
import { route } from "../route.ts";
import { spell } from "./buckets.ts";
import { FigureFilters, FILTERS, Ranges } from "./filters.tsx";
import { isEmpty, periodOf, questionOf } from "./period.ts";

const EVERY = 60_000; // milliseconds between two looks, for which the service remembers an answer

interface Props {
  title: string;
  /** What is missing where there is nothing, in the plural. */
  what: string;
  /** Whether there is nothing to show. */
  isNothing: (stats: Stats) => boolean;
  children: (stats: Stats) => ComponentChildren;
}

/** A page of figures: its filters, and what `children` makes of the answer, or why there is none. */
export function Counted({ title, what, isNothing, children }: Props) {
  const { query } = route.value;
  const asked = query.toString();
  useClearKey(FILTERS);
  const answer = useLoad(asked, async (api, signal) => {
    const now = new Date();
    if (isEmpty(periodOf(query, now), now)) return { asked };
    // Once: what was too slow is as slow again, and what may pass is asked again by `useLoad`.
    return { asked, stats: await api.getStats(questionOf(query, now), { signal, attempts: 1 }) };
  }, { every: EVERY });
  const { data, error, loading } = answer.state.value;
  const slow = error instanceof ProblemError && error.is("too-slow");
  return (
    <>
      <Heading title={title}>
        <p role="status">{loading && (slow || data?.asked !== asked) ? "Counting…" : !slow && data?.stats && periodInWords(data.stats)}</p>
      </Heading>
      <FigureFilters />
      {slow ? (
        !loading && <TooSlow again={answer.reload} />
      ) : (
        <Loaded of={answer} lines={20}>
          {({ stats }) => (!stats ? <NoTime /> : isNothing(stats) ? <Nothing what={what} /> : children(stats))}
        </Loaded>
      )}
    </>
  );
}

function periodInWords({ since, until }: Stats): string {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  return `${spell(Date.parse(since), Date.parse(until))}, in the time of ${timeZone.replaceAll("_", " ")}`;
}

function TooSlow({ again }: { again: () => void }) {
  return (
    <section class="problem" role="alert">
      <h2>This is too much to count at once</h2>
      <p>The service gave up after some seconds. Choose a shorter period, or calls about one thing only.</p>
      <Ranges label="Shorter periods" />
      <p class="actions">
        <button type="button" onClick={again}>
          Try again
        </button>
      </p>
    </section>
  );
}

function NoTime() {
  return (
    <section class="problem" role="alert">
      <h2>This period has no time in it</h2>
      <p>It begins after it ends, or has not begun. Choose other days, or one of these periods.</p>
      <Ranges label="Other periods" />
    </section>
  );
}

function Nothing({ what }: { what: string }) {
  if (FILTERS.some(filter)) return <NoHits what={what} names={FILTERS} />;
  return (
    <section class="empty">
      <h2>No {what} in the last 24 hours</h2>
      <p>Look at a longer period.</p>
      <Ranges label="Longer periods" />
    </section>
  );
}
