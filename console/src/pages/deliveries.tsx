import { useState } from "preact/hooks";
import type { DeliveryPage, DeliveryResponse, ListDeliveriesQuery } from "../../../clients/typescript/src/types.ts";
import type { Verbatim } from "../api.ts";
import { now } from "../clock.ts";
import { adviceOf, answerOf, MEANINGS, nextOf } from "../deliveries/advice.ts";
import { Retry } from "../deliveries/retry.tsx";
import { count, moment } from "../format.ts";
import { useLoad } from "../load.ts";
import { filter, Filters, NoHits, Select, Text, useClearKey } from "../parts/filters.tsx";
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
const FILTERS = ["state", "conversation_id"];
const STATES = { "": "any", pending: "pending", delivered: "delivered", failed: "failed", held: "held" };

/** What the orchestrator was told, and what it was not: the newest first. */
export function Deliveries() {
  const deliveries = useLoad(route.value.query.toString(), read, { every: cursor() ? 0 : EVERY });
  const [retried, setRetried] = useState<DeliveryResponse>();
  const close = () => {
    setRetried(undefined);
    deliveries.reload();
  };
  useRows();
  useClearKey(FILTERS);
  return (
    <>
      <Heading title="Deliveries" />
      <Filters label="Filter the deliveries">
        <Select name="state" label="State" options={STATES} />
        <Text name="conversation_id" label="Call (id)" />
      </Filters>
      <Loaded of={deliveries} lines={20}>
        {(page) => <Rows page={page} onRetry={setRetried} />}
      </Loaded>
      <Meanings />
      {retried && <Retry delivery={retried} onClose={close} />}
    </>
  );
}

function read(api: Verbatim, signal: AbortSignal): Promise<DeliveryPage> {
  const state = filter("state") as ListDeliveriesQuery["state"];
  return api.listDeliveries(
    { state, conversation_id: filter("conversation_id"), limit: LIMIT, cursor: cursor() },
    { signal },
  );
}

function Rows({ page, onRetry }: { page: DeliveryPage; onRetry: (delivery: DeliveryResponse) => void }) {
  if (page.data.length === 0)
    return FILTERS.some(filter) ? <NoHits what="deliveries" names={FILTERS} /> : <NoDeliveries />;
  return (
    <>
      <Table
        caption="Deliveries to the orchestrator, the newest first"
        columns={[...COLUMNS, again(onRetry)]}
        rows={page.data}
        rowKey={({ id }) => id}
      />
      <Pager next={page.next_cursor} more={page.has_more} />
    </>
  );
}

const None = () => <span class="dim">–</span>;

const COLUMNS: readonly Column<DeliveryResponse>[] = [
  {
    title: "Call",
    cell: ({ conversation_id, created_at }) => (
      <a href={href(["calls", conversation_id])} data-row title="When the delivery was queued; leads to its call">
        <Time at={created_at} />
      </a>
    ),
  },
  { title: "State", cell: ({ state }) => <span class={`state ${state}`}>{state}</span> },
  { title: "Attempts", numeric: true, cell: ({ attempts }) => count(attempts) },
  { title: "Last attempt", cell: ({ last_attempt_at }) => (last_attempt_at ? <Time at={last_attempt_at} /> : <None />) },
  { title: "Next", cell: (delivery) => <Next delivery={delivery} /> },
  { title: "Last answer", wide: true, cell: (delivery) => <Answer delivery={delivery} /> },
];

function again(onRetry: (delivery: DeliveryResponse) => void): Column<DeliveryResponse> {
  return {
    title: "Again",
    cell: (delivery) => (
      <button
        type="button"
        aria-label={`Send again … the delivery of ${moment(delivery.created_at)}`}
        onClick={() => onRetry(delivery)}
      >
        Send again …
      </button>
    ),
  };
}

function Next({ delivery }: { delivery: DeliveryResponse }) {
  const next = nextOf(delivery, now.value);
  if (next === undefined) return <None />;
  return <Time at={delivery.due_at} as={() => next} />;
}

function Answer({ delivery }: { delivery: DeliveryResponse }) {
  const [answer, advice] = [answerOf(delivery), adviceOf(delivery, now.value)];
  if (answer === undefined && advice === undefined) return <None />;
  return (
    <span class="answer">
      {answer !== undefined && <Said text={answer} />} {advice !== undefined && <span class="hint">{advice}</span>}
    </span>
  );
}

/** What the states mean, and what an operator does about each. */
function Meanings() {
  return (
    <section class="meanings">
      <h2>What the states mean</h2>
      <dl>
        {Object.entries(MEANINGS).map(([state, meaning]) => (
          <div key={state}>
            <dt class={`state ${state}`}>{state}</dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <p class="hint">
        <code>verbatim deliveries retry --failed</code> sends all again that have failed or are held.
      </p>
    </section>
  );
}

function NoDeliveries() {
  return (
    <section class="empty">
      <h2>No deliveries yet</h2>
      <p>
        An intent of a call is delivered to the orchestrator that <code>VERBATIM_ORCHESTRATOR_URL</code> names. Without one none is
        queued.
      </p>
    </section>
  );
}
