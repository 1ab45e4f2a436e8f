import { useState } from "preact/hooks";
import type {
  AuditAction,
  AuditEntryResponse,
  AuditPage,
  HoldPage,
  HoldResponse,
  RetentionPlan,
} from "../../../clients/typescript/src/types.ts";
import { ask } from "../api.ts";
import { Fact } from "../call/verdict.tsx";
import { count, plural } from "../format.ts";
import { useLoad } from "../load.ts";
import { Confirm } from "../parts/dialog.tsx";
import { filter, Filters, NoHits, Select, Text, useClearKey } from "../parts/filters.tsx";
import { Heading } from "../parts/heading.tsx";
import { Loaded } from "../parts/loaded.tsx";
import { cursor, Pager } from "../parts/pager.tsx";
import { Problem } from "../parts/problem.tsx";
import { useRows } from "../parts/rows.ts";
import { Said } from "../parts/said.tsx";
import { type Column, Table } from "../parts/table.tsx";
import { Time } from "../parts/time.tsx";
import { href, route } from "../route.ts";

const LIMIT = 50;
const FILTERS = ["action", "conversation_id"];
const ACTIONS: Readonly<Record<AuditAction | "", string>> = {
  "": "any",
  "conversation.erased": "erased",
  "message.redacted": "redacted",
  "conversation.held": "held",
  "conversation.released": "released",
  "retention.announced": "retention announced",
  "retention.ran": "retention ran",
  "subject.exported": "exported",
  "token.created": "token created",
  "token.revoked": "token revoked",
  "database.adopted": "database adopted",
};

/** What is kept and for how long, which calls must stay, and what was done to the record. */
export function Governance() {
  const plan = useLoad<RetentionPlan>("", (api, signal) => api.getRetention({ signal }));
  const holds = useLoad<HoldPage>("", (api, signal) => api.listHolds({ active: true, limit: LIMIT }, { signal }));
  const audit = useLoad<AuditPage>(route.value.query.toString(), (api, signal) =>
    api.listAudit(
      {
        action: filter("action") as AuditAction | undefined,
        conversation_id: filter("conversation_id"),
        limit: LIMIT,
        cursor: cursor(),
      },
      { signal },
    ),
  );
  const [released, setReleased] = useState<HoldResponse>();
  const close = () => {
    setReleased(undefined);
    holds.reload();
    audit.reload();
  };
  useRows();
  useClearKey(FILTERS);
  return (
    <>
      <Heading title="Governance" />
      <section>
        <h2>Retention</h2>
        <Loaded of={plan} lines={3}>
          {(found) => <Plan {...found} />}
        </Loaded>
      </section>
      <section>
        <h2>On hold</h2>
        <Loaded of={holds} lines={5}>
          {(page) => <Holds page={page} onRelease={setReleased} />}
        </Loaded>
      </section>
      <section>
        <h2>Audit</h2>
        <Filters label="Filter the audit">
          <Select name="action" label="Action" options={ACTIONS} />
          <Text name="conversation_id" label="Call (id)" />
        </Filters>
        <Loaded of={audit} lines={20}>
          {(page) => <Entries page={page} />}
        </Loaded>
      </section>
      {released && <Release hold={released} onClose={close} />}
    </>
  );
}

function Plan({ periods, begins_at, due, held, complete }: RetentionPlan) {
  const kinds = Object.entries(periods);
  if (kinds.length === 0) return <p>Calls are kept for ever: no period is configured.</p>;
  return (
    <dl class="pairs">
      {kinds.map(([kind, days]) => (
        <Fact key={kind} name={kind}>
          {complete ? "" : "at least "}
          {plural(due[kind] ?? 0, "call")} older than {plural(days, "day")} will be erased
        </Fact>
      ))}
      <Fact name="On hold">{plural(held, "call")} would be erased, and will not be</Fact>
      <Fact name="Begins">{begins_at ? <Time at={begins_at} /> : "a day after a service has announced these periods"}</Fact>
    </dl>
  );
}

interface HoldsProps {
  page: HoldPage;
  onRelease: (hold: HoldResponse) => void;
}

function Holds({ page, onRelease }: HoldsProps) {
  if (page.data.length === 0) return <p>No call is on hold.</p>;
  return (
    <>
      <Table
        caption="Calls on hold, the newest hold first"
        columns={[...HOLD_COLUMNS, release(onRelease)]}
        rows={page.data}
        rowKey={({ id }) => id}
      />
      {page.has_more && <p class="hint">The newest {LIMIT}; GET /api/v1/holds lists all.</p>}
    </>
  );
}

const HOLD_COLUMNS: readonly Column<HoldResponse>[] = [
  { title: "Call", cell: ({ conversation_id, held_at }) => <CallLink id={conversation_id} at={held_at} /> },
  { title: "Reason", wide: true, cell: ({ reason }) => <Said text={reason} /> },
  { title: "By", cell: ({ held_by }) => <Said text={held_by} /> },
];

function release(onRelease: (hold: HoldResponse) => void): Column<HoldResponse> {
  return {
    title: "Release",
    cell: (hold) => (
      <button type="button" aria-label={`Release … the call that is held for ${hold.reason}`} onClick={() => onRelease(hold)}>
        Release …
      </button>
    ),
  };
}

function Entries({ page }: { page: AuditPage }) {
  if (page.data.length === 0)
    return FILTERS.some(filter) ? <NoHits what="entries" names={FILTERS} /> : <p>Nothing was done to the record yet.</p>;
  return (
    <>
      <Table
        caption="What was done to the record, the newest first"
        columns={ENTRY_COLUMNS}
        rows={page.data}
        rowKey={({ id }) => id}
      />
      <Pager next={page.next_cursor} more={page.has_more} />
    </>
  );
}

const ENTRY_COLUMNS: readonly Column<AuditEntryResponse>[] = [
  { title: "When", cell: ({ at }) => <Time at={at} /> },
  { title: "What", cell: ({ action }) => action },
  { title: "By", cell: ({ actor }) => <Said text={actor} /> },
  {
    title: "Call",
    cell: ({ conversation_id }) => (conversation_id ? <CallLink id={conversation_id} /> : <span class="dim">–</span>),
  },
  { title: "Details", wide: true, cell: ({ details }) => <Said text={detailsOf(details)} /> },
];

function detailsOf(details: AuditEntryResponse["details"]): string {
  return Object.entries(details)
    .map(([name, value]) => `${name} ${typeof value === "number" ? count(value) : JSON.stringify(value)}`)
    .join(", ");
}

function CallLink({ id, at }: { id: string; at?: string }) {
  return (
    <a href={href(["calls", id])} data-row title={id}>
      {at ? <Time at={at} /> : `${id.slice(0, 8)}…`}
    </a>
  );
}

function Release({ hold, onClose }: { hold: HoldResponse; onClose: () => void }) {
  const [error, setError] = useState<unknown>();
  const confirmed = async () => {
    try {
      await ask((api) => api.releaseConversation(hold.conversation_id));
      onClose();
    } catch (caught) {
      setError(caught);
    }
  };
  return (
    <Confirm title="Release this call?" does="Release it" onConfirm={() => void confirmed()} onClose={onClose}>
      <p>It can be erased and redacted again, also by the retention.</p>
      {error !== undefined && <Problem error={error} />}
    </Confirm>
  );
}
