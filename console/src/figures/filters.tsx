import type { ContextType, Source, Width } from "../../../clients/typescript/src/types.ts";
import { Day, filter, Filters, Select } from "../parts/filters.tsx";
import { href, route } from "../route.ts";
import { isEmpty, periodOf, RANGES, rangeOf, widthsFor, yesterday } from "./period.ts";

/** The filters that `x` clears. */
export const FILTERS = ["since", "until", "range", "bucket", "context_type", "source"];

const SUBJECTS: Readonly<Record<ContextType | "", string>> = {
  "": "any",
  voice: "voice",
  task: "task",
  goal: "goal",
  reschedule: "reschedule",
  onboarding: "onboarding",
};
const SOURCES: Readonly<Record<Source | "", string>> = {
  "": "any",
  deepgram: "Deepgram",
  pipecat: "Pipecat",
  livekit: "LiveKit",
  posts: "other programs",
};

/** Which period is counted, in buckets of what width, and what of it. */
export function FigureFilters() {
  return (
    <>
      <Ranges label="Periods" />
      <Filters label="Filter the figures">
        <Day name="since" label="From" />
        <Day name="until" label="Until" />
        <Select name="bucket" label="Each point is" options={widths()} />
        <Select name="context_type" label="About" options={SUBJECTS} />
        <Select name="source" label="Recorded by" options={SOURCES} />
      </Filters>
    </>
  );
}

/** Links to the periods that readers ask for most; they keep the other filters. */
export function Ranges({ label }: { label: string }) {
  const { query } = route.value;
  const named = filter("since") ?? filter("until");
  const day = yesterday(new Date());
  const isYesterday = filter("since") === day.since && filter("until") === day.until;
  const links = Object.keys(RANGES).map((range) => ({
    words: range.replace(/(\d+)/, "$1 "),
    to: { range },
    here: !named && rangeOf(query) === range,
  }));
  return (
    <nav class="ranges" aria-label={label}>
      {[...links.slice(0, 1), { words: "Yesterday", to: day, here: isYesterday }, ...links.slice(1)].map(({ words, to, here }) => (
        <a key={words} href={periodLink(query, to)} aria-current={here ? "true" : undefined}>
          {words}
        </a>
      ))}
    </nav>
  );
}

function periodLink(query: URLSearchParams, to: Readonly<Record<string, string>>): string {
  const other = new URLSearchParams(query);
  for (const name of ["since", "until", "range", "bucket"]) other.delete(name);
  for (const [name, value] of Object.entries(to)) other.set(name, value);
  return href(route.value.path, other);
}

function widths(): Readonly<Record<string, string>> {
  const now = new Date();
  const period = periodOf(route.value.query, now);
  const fitting: ReadonlyMap<string, string> = isEmpty(period, now) ? new Map() : widthsFor(period, now);
  const asked = filter("bucket");
  const ignored = asked && !fitting.has(asked) ? { [asked]: "too many for this period" } : {};
  return { "": "as fits", ...Object.fromEntries<string>(fitting as ReadonlyMap<Width, string>), ...ignored };
}
