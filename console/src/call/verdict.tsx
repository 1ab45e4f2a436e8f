import type { ComponentChildren } from "preact";
import type { ConversationResponse, DeliveryResponse, Summary } from "../../../clients/typescript/src/types.ts";
import { now } from "../clock.ts";
import { clock, count, latency } from "../format.ts";
import { Said } from "../parts/said.tsx";
import { toldOf, whyOf } from "./deliveries.ts";
import { completeness, lackOf, type Session } from "./sessions.ts";

interface Props {
  call: ConversationResponse;
  sessions: readonly Session[] | undefined;
  /** Undefined until they are read, and for a reader who may not see them. */
  deliveries: readonly DeliveryResponse[] | undefined;
}

/** What an operator asks first: is it complete, was the orchestrator told, and how did it go. */
export function Verdict({ call, sessions, deliveries }: Props) {
  const { summary } = call;
  return (
    <dl class="facts">
      <Fact name="Record">{summary ? <Complete summary={summary} sessions={sessions} /> : "–"}</Fact>
      <Fact name="Intent">
        {call.extracted_intent?.toLowerCase().replaceAll("_", " ") ?? "none"}
        {call.extracted_intent !== null && deliveries && <Told delivery={deliveries[0]} />}
      </Fact>
      <Fact name="State">{summary ? <span class={`state ${summary.state}`}>{summary.state}</span> : "–"}</Fact>
      <Fact name="Length">
        <Length call={call} />
      </Fact>
      <Fact name="Messages">{count(call.message_count)}</Fact>
      <Fact name="Turns">{count(summary?.turns)}</Fact>
      <Fact name="p50, p95">
        {latency(summary?.latency_ms.p50)}, {latency(summary?.latency_ms.p95)}
      </Fact>
      <Fact name="Interrupted">{count(summary?.interruptions)}</Fact>
      <Fact name="Functions">{count(summary?.functions)}</Fact>
      <Fact name="Incidents">
        <span class={summary?.incidents ? "bad" : ""}>{count(summary?.incidents)}</span>
      </Fact>
    </dl>
  );
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Complete({ summary, sessions }: { summary: Summary; sessions: readonly Session[] | undefined }) {
  const { words, isBad } = completeness(summary);
  const lacks = (sessions ?? []).map(({ receipt }) => lackOf(receipt)).filter((lack) => lack !== undefined);
  return (
    <>
      <span class={isBad ? "bad" : ""}>{words}</span>
      {isBad && lacks.length > 0 && <span class="why">{lacks.join("; ")}</span>}
    </>
  );
}

export function Told({ delivery }: { delivery: DeliveryResponse | undefined }) {
  if (!delivery) return <span class="why">no orchestrator was configured when it was set</span>;
  const { words, isBad } = toldOf(delivery);
  const why = isBad ? whyOf(delivery) : undefined;
  return (
    <>
      <span class={isBad ? "bad" : ""}>, {words}</span>
      {why && (
        <span class="why">
          <Said text={why} />
        </span>
      )}
    </>
  );
}

function Length({ call: { duration_seconds, ended_at, created_at } }: { call: ConversationResponse }) {
  const end = ended_at ? Date.parse(ended_at) : now.value;
  return <>{clock(duration_seconds ?? (end - Date.parse(created_at)) / 1000)}</>;
}
