import { useEffect, useRef, useState } from "preact/hooks";
import type { SearchPage, SearchQuery } from "../../../clients/typescript/src/types.ts";
import { announce } from "../announce.ts";
import type { Verbatim } from "../api.ts";
import { languageOf } from "../call/language.ts";
import { dayAfter, dayOf } from "../days.ts";
import { day, plural, timeOfDay } from "../format.ts";
import { useKeys } from "../keys.ts";
import { useLoad } from "../load.ts";
import { clip } from "../marks.ts";
import { Day, filter, Filters, NoHits, Select, Text, useClearKey } from "../parts/filters.tsx";
import { Heading } from "../parts/heading.tsx";
import { Loaded } from "../parts/loaded.tsx";
import { cursor, Pager } from "../parts/pager.tsx";
import { useRows } from "../parts/rows.ts";
import { Said } from "../parts/said.tsx";
import { Time } from "../parts/time.tsx";
import { go, href, route } from "../route.ts";
import { byCall, type Found, type Line } from "../search/excerpts.ts";
import { Language } from "../search/language.tsx";

const FILTERS = ["role", "context_type", "since", "until", "user_id", "accents"];
const ROLES = { "": "any", user: "user", assistant: "assistant", function: "function", system: "system" };
const SUBJECTS = { "": "any", voice: "voice", task: "task", goal: "goal", reschedule: "reschedule", onboarding: "onboarding" };
const ACCENTS = { "": "do not matter", exact: "as typed" };

/** What was said in all calls, by its words. */
export function Search() {
  const asked = useRef(false);
  const [times, setTimes] = useState(0); // so that the same words are searched for again
  const ask = (words: string) => {
    const query = new URLSearchParams(route.value.query);
    query.delete("cursor");
    query.set("q", words);
    asked.current = true;
    setTimes(times + 1);
    go(href(["search"], query));
  };
  useRows();
  useClearKey(FILTERS);
  return (
    <>
      <Heading title="Search" />
      <Words onAsk={ask} />
      <Filters label="Filter what is found">
        <Select name="role" label="Role" options={ROLES} />
        <Select name="context_type" label="About" options={SUBJECTS} />
        <Day name="since" label="From" />
        <Day name="until" label="Until" />
        <Text name="user_id" label="Who" />
        <Select name="accents" label="Accents" options={ACCENTS} />
      </Filters>
      {filter("q") === undefined ? (
        <section class="empty">
          <h2>How to write a search</h2>
          <Language />
        </section>
      ) : (
        <>
          <details>
            <summary>How to write a search</summary>
            <Language />
          </details>
          <Results key={`${times} ${route.value.query}`} asked={asked} />
        </>
      )}
    </>
  );
}

/** The field of the words. It is asked when the reader presses Enter: a search costs as much as five other requests. */
function Words({ onAsk }: { onAsk: (words: string) => void }) {
  const field = useRef<HTMLInputElement>(null);
  const words = filter("q") ?? "";
  useEffect(() => {
    if (field.current) field.current.value = words;
    if (!words) field.current?.focus();
  }, [words]);
  useKeys("Search", {
    "/": {
      does: "Change the words",
      press: () => {
        field.current?.focus();
        field.current?.select();
      },
    },
  });
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const typed = field.current?.value.trim();
    if (typed) onAsk(typed);
  };
  return (
    <form class="ask" role="search" aria-label="Search what was said" onSubmit={submit}>
      <label>
        <span>Words</span>
        <input ref={field} type="search" name="q" autoComplete="off" spellcheck={false} enterkeyhint="search" />
      </label>
      <button type="submit">Search</button>
    </form>
  );
}

function Results({ asked }: { asked: { current: boolean } }) {
  const found = useLoad("", read);
  const summary = useRef<HTMLParagraphElement>(null);
  const { data } = found.state.value;
  useEffect(() => {
    if (!data || !asked.current) return;
    asked.current = false;
    // From where the rows can be reached; without one the reader stays at the words, to change them.
    if (summary.current) summary.current.focus();
    else announce("No messages with these words");
  }, [data]);
  return (
    <Loaded of={found} lines={12}>
      {(page) =>
        page.data.length === 0 ? (
          <Nothing page={page} />
        ) : (
          <>
            <p ref={summary} class="summary" tabIndex={-1}>
              {sentenceOf(page)} <UpTo page={page} />
            </p>
            {byCall(page.data).map((call) => (
              <OneCall key={call.call} {...call} />
            ))}
            <Pager next={page.next_cursor} more={page.has_more} />
          </>
        )
      }
    </Loaded>
  );
}

function read(api: Verbatim, signal: AbortSignal): Promise<SearchPage> {
  return api.search(
    {
      q: filter("q") ?? "",
      role: filter("role") as SearchQuery["role"],
      context_type: filter("context_type") as SearchQuery["context_type"],
      since: dayOf(filter("since")),
      until: dayAfter(filter("until")),
      user_id: filter("user_id"),
      accents: filter("accents") as SearchQuery["accents"],
      cursor: cursor(),
    },
    { signal },
  );
}

function sentenceOf({ data, has_more }: SearchPage): string {
  const calls = new Set(data.map(({ conversation_id }) => conversation_id)).size;
  const more = has_more ? " on this page, and more on the next" : "";
  return `${plural(data.length, "message")} in ${plural(calls, "call")}${more}.`;
}

function UpTo({ page: { indexed_up_to } }: { page: SearchPage }) {
  if (indexed_up_to === null) return <>Nothing can be found yet: the service has not indexed a message.</>;
  return (
    <>
      Searched up to <Time at={indexed_up_to} />.
    </>
  );
}

function Nothing({ page }: { page: SearchPage }) {
  return (
    <>
      {FILTERS.some(filter) ? (
        <NoHits what="messages" names={FILTERS} />
      ) : (
        <section class="empty">
          <h2>No messages with these words</h2>
          <p>
            Take fewer words, or a beginning with <code>*</code>: other forms of a word are not found.
          </p>
        </section>
      )}
      <p class="hint">
        {page.has_more && "What was looked at so far has none; the next page looks further. "}
        <UpTo page={page} />
      </p>
      <Pager next={page.next_cursor} more={page.has_more} />
    </>
  );
}

function OneCall({ call, hits, excerpts }: Found) {
  const first = excerpts[0]?.find(({ hit }) => hit)?.hit?.message.timestamp ?? "";
  return (
    <section class="found">
      <h2>
        <a href={href(["calls", call])}>
          Call of <Time at={first} as={day} />
        </a>
        {hits.length > 1 && <span class="dim">{plural(hits.length, "message")}</span>}
      </h2>
      {excerpts.map((lines) => (
        <ol key={lines[0]?.sequence}>
          {lines.map((line) => (
            <OneLine key={line.sequence} call={call} {...line} />
          ))}
        </ol>
      ))}
    </section>
  );
}

function OneLine({ call, sequence, role, content, cut, hit }: Line & { call: string }) {
  const { text, ranges, before, after, hidden } = clip(content, hit?.ranges ?? []);
  return (
    <li class={hit ? "" : "beside"}>
      {hit ? (
        <a href={href(["calls", call], { at: sequence })} data-row>
          <Time at={hit.message.timestamp} as={timeOfDay} />
        </a>
      ) : (
        <span />
      )}
      <span class="speaker">{role}</span>
      <span class="words">
        {before && "… "}
        <Said text={text} ranges={ranges} lang={hit && languageOf(hit.message)} />
        {(after || cut) && " …"}
        {hidden > 0 && <span class="hint"> and {plural(hidden, "more place")} in this message</span>}
        {hit?.ranges.length === 0 && <span class="hint"> The words are in the data of the function call.</span>}
      </span>
    </li>
  );
}
