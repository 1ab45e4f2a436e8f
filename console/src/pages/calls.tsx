import type {
  ConversationPage,
  ConversationResponse,
  ListConversationsQuery,
  Summary,
} from "../../../clients/typescript/src/types.ts";
import { ADDRESS, type Verbatim } from "../api.ts";
import { now } from "../clock.ts";
import { dayAfter, dayOf } from "../days.ts";
import { clock, count, latency } from "../format.ts";
import { useLoad } from "../load.ts";
import { Day, filter, Filters, NoHits, Select, Text, useClearKey } from "../parts/filters.tsx";
import { Heading } from "../parts/heading.tsx";
import { Loaded } from "../parts/loaded.tsx";
import { cursor, Pager } from "../parts/pager.tsx";
import { useRows } from "../parts/rows.ts";
import { Said } from "../parts/said.tsx";
import { type Column, Table } from "../parts/table.tsx";
import { Time } from "../parts/time.tsx";
import { href, route } from "../route.ts";

const LIMIT = 50;
const EVERY = 5_000; // milliseconds between two looks at the first page
const FILTERS = ["state", "since", "until", "user_id", "intent", "context_type"];
const INTENTS = { "": "any", GOAL: "goal", NEW_TASK: "new task", RESCHEDULE_TASK: "reschedule task" };
const SUBJECTS = {
  "": "any",
  voice: "voice",
  task: "task",
  goal: "goal",
  reschedule: "reschedule",
  onboarding: "onboarding",
};

interface List {
  /** The calls that go on; only above the first page. */
  live: ConversationResponse[];
  page: ConversationPage;
}

/** All calls, the newest first, and those that go on above them. */
export function Calls() {
  const calls = useLoad(route.value.query.toString(), read, { every: cursor() ? 0 : EVERY });
  useRows("call with incidents, or not complete");
  useClearKey(FILTERS);
  return (
    <>
      <Heading title="Calls" />
      <Filters label="Filter the calls">
        <Select name="state" label="State" options={{ "": "any", live: "live", ended: "ended" }} />
        <Day name="since" label="From" />
        <Day name="until" label="Until" />
        <Text name="user_id" label="Who" />
        <Select name="intent" label="Intent" options={INTENTS} />
        <Select name="context_type" label="About" options={SUBJECTS} />
      </Filters>
      <Loaded of={calls} lines={20}>
        {(list) => <Rows list={list} />}
      </Loaded>
    </>
  );
}

function Rows({ list: { live, page } }: { list: List }) {
  const rows = [...live, ...page.data];
  if (rows.length === 0) return FILTERS.some(filter) ? <NoHits what="calls" names={FILTERS} /> : <NoCalls />;
  return (
    <>
      <Table
        caption="Calls, those that go on first, then the newest"
        columns={COLUMNS}
        rows={rows}
        rowKey={({ id }) => id}
        rowClass={({ summary }) => summary?.state ?? ""}
      />
      <Pager next={page.next_cursor} more={page.has_more} />
    </>
  );
}

async function read(api: Verbatim, signal: AbortSignal): Promise<List> {
  const query = filters();
  const at = cursor();
  const [live, page] = await Promise.all([
    at || query.ended !== undefined ? [] : api.listConversations({ ...query, ended: false }, { signal }).then(({ data }) => data),
    api.listConversations({ ...query, cursor: at }, { signal }),
  ]);
  const above = new Set(live.map(({ id }) => id));
  return { live, page: { ...page, data: page.data.filter(({ id }) => !above.has(id)) } };
}

function filters(): ListConversationsQuery {
  const state = filter("state");
  return {
    include: "summary",
    limit: LIMIT,
    ended: state === undefined ? undefined : state === "ended",
    since: dayOf(filter("since")),
    until: dayAfter(filter("until")),
    user_id: filter("user_id"),
    intent: filter("intent") as ListConversationsQuery["intent"],
    context_type: filter("context_type") as ListConversationsQuery["context_type"],
  };
}

/** What is dim is left out where the window is narrow. */
const None = () => <span class="dim">–</span>;

const COLUMNS: readonly Column<ConversationResponse>[] = [
  {
    title: "Begun",
    cell: ({ id, created_at }) => (
      <a href={href(["calls", id])} data-row>
        <Time at={created_at} />
      </a>
    ),
  },
  { title: "Who", cell: ({ user_id }) => (user_id === null ? <None /> : <span class="who">{user_id}</span>) },
  { title: "State", cell: ({ summary, ended_at }) => <State of={summary?.state ?? (ended_at ? "ended" : "live")} /> },
  { title: "Length", numeric: true, cell: (call) => <Length call={call} /> },
  { title: "Turns", numeric: true, cell: ({ summary }) => count(summary?.turns) },
  { title: "p95", numeric: true, cell: ({ summary }) => (summary?.latency_ms.count ? latency(summary.latency_ms.p95) : <None />) },
  { title: "Interrupted", numeric: true, cell: ({ summary }) => <Some value={summary?.interruptions} /> },
  { title: "Incidents", numeric: true, cell: ({ summary }) => <Some value={summary?.incidents} alarming /> },
  { title: "Complete", cell: ({ summary }) => <Complete summary={summary} /> },
  { title: "Intent", cell: ({ extracted_intent }) => extracted_intent?.toLowerCase().replaceAll("_", " ") ?? <None /> },
  {
    title: "First words",
    wide: true,
    cell: ({ summary }) => (summary?.first_words ? <Said text={summary.first_words} /> : <None />),
  },
];

export function State({ of: state }: { of: Summary["state"] }) {
  return <span class={`state ${state}`}>{state}</span>;
}

function Length({ call }: { call: ConversationResponse }) {
  const end = call.ended_at ? Date.parse(call.ended_at) : now.value;
  return <>{clock(call.duration_seconds ?? (end - Date.parse(call.created_at)) / 1000)}</>;
}

/** A number that matters only if it is not 0. */
function Some({ value, alarming = false }: { value: number | undefined; alarming?: boolean }) {
  return <span class={value ? (alarming ? "bad" : "") : "dim"}>{count(value)}</span>;
}

export function Complete({ summary }: { summary: Summary | undefined }) {
  const receipts = summary?.receipts;
  if (!receipts) return <None />;
  if (receipts.missing > 0) return <strong class="bad">{count(receipts.missing)} missing</strong>;
  if (receipts.complete) return <span title="Every event of the phone is on record">✓ complete</span>;
  return summary.state === "live" ? <>so far</> : <strong class="bad">unknown</strong>;
}

function NoCalls() {
  return (
    <section class="empty">
      <h2>No calls yet</h2>
      <p>Record one, and it appears here within five seconds:</p>
      <pre tabIndex={0}>{EXAMPLE}</pre>
      <p>
        Where the service wants a token, add <code>-H "authorization: Bearer $TOKEN"</code> to each command.
      </p>
    </section>
  );
}

const EXAMPLE = `A=${ADDRESS}/api/v1
J='content-type: application/json'

id=$(curl -s $A/conversations -H "$J" -d '{"context_type": "voice"}' | grep -o '"id":"[^"]*' | cut -c7-)

curl -s $A/voice/messages -H "$J" -d '{
  "conversation_id": "'$id'", "role": "user", "content": "Remind me to call the dentist tomorrow at nine."}'

curl -s "$A/conversations/$id/transcript?format=text"`;
