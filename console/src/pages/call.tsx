import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { ConversationResponse, DeliveryResponse } from "../../../clients/typescript/src/types.ts";
import { ask, ProblemError, type Verbatim } from "../api.ts";
import { answerOf } from "../call/answers.ts";
import { Details, unlessForbidden } from "../call/details.tsx";
import { type Span, spanOf, type Timed, timed } from "../call/drawn.ts";
import { Inner } from "../call/inner.tsx";
import { Latency } from "../call/latency.tsx";
import { useCallKeys } from "../call/moving.ts";
import { useParts } from "../call/parts.ts";
import { placeOf, wanted } from "../call/place.tsx";
import { Reader } from "../call/reader.ts";
import { readSessions, sessionsOf } from "../call/sessions.ts";
import { Timeline } from "../call/timeline.tsx";
import { Transcript } from "../call/transcript.tsx";
import { Verdict } from "../call/verdict.tsx";
import { moment } from "../format.ts";
import { type Loading, useLoad } from "../load.ts";
import type { PageProps } from "../pages.ts";
import { Heading } from "../parts/heading.tsx";
import { Loaded } from "../parts/loaded.tsx";
import { go, href } from "../route.ts";
import { follow } from "../stream.ts";

const EVERY = { live: 5_000, ended: 30_000 }; // milliseconds between two looks; a late message may come after the end
const PART = 500; // messages of a part of the timeline

/** One call: what happened when, how long answers took, what was said, and what else is on record. */
export function Call({ path: [id = ""] }: PageProps) {
  const erased = useSignal(false);
  const live = useRef(true);
  const call = useLoad(id, (api, signal) => api.getConversation(id, { include: "summary" }, { signal }), {
    every: live.current ? EVERY.live : EVERY.ended,
  });
  const { data, error } = call.state.value;
  live.current = data?.ended_at === null;
  if (erased.value || (data && isMissing(error)))
    return <Gone title="This call was erased">What was said in it is gone, and cannot be brought back.</Gone>;
  if (isMissing(error)) return <Gone title="No such call">There is no call with this id, or it is not yours.</Gone>;
  return (
    <>
      <Heading title={data ? `Call of ${moment(data.created_at)}` : "Call"}>
        {data?.user_id != null && <span class="who">{data.user_id}</span>}
      </Heading>
      <Loaded of={call} lines={20}>
        {(found) => <Parts call={found} again={call.reload} onErased={() => (erased.value = true)} />}
      </Loaded>
    </>
  );
}

function Gone({ title, children }: { title: string; children: string }) {
  return (
    <>
      <Heading title={title} />
      <p>
        {children} <a href={href(["calls"])}>See all calls</a>.
      </p>
    </>
  );
}

interface PartsProps {
  call: ConversationResponse;
  again: () => void;
  onErased: () => void;
}

function Parts({ call, again, onErased }: PartsProps) {
  const { id } = call;
  const live = call.ended_at === null;
  const every = live ? EVERY.live : 0;
  const onlyPart = useSignal(false);
  const reader = useMemo(
    () => new Reader((query, signal) => ask((api) => api.listMessages(id, query, { signal }), signal)),
    [id],
  );
  const transcript = useLoad(`${id} ${wanted() ?? ""}`, (_, signal) => reader.open(wanted(), live, signal));
  const timeline = useParts(`${id} timeline`, (api, cursor, signal) => readTimeline(api, id, cursor, signal), every);
  const answers = useParts(`${id} answers`, (api, cursor, signal) => readAnswers(api, id, cursor, signal), every);
  const { messages, earlier, later } = reader.shown.value;
  const ids = sessionsOf(call, messages);
  const sessions = useLoad(`${ids} ${call.ended_at}`, (api, signal) => readSessions(api, ids, signal), { every });
  const deliveries = useDeliveries(call);
  useFollowing(call, reader, transcript, again);
  useCallKeys(live ? reader : undefined);

  const segments = timeline.items.value;
  const created = Date.parse(call.created_at);
  const whole = spanOf(segments) ?? [created, created + 1000];
  const part: Span | undefined =
    earlier || later ? [Date.parse(messages[0]?.timestamp ?? ""), Date.parse(messages.at(-1)?.timestamp ?? "") + 1000] : undefined;
  const axis = { begun: whole[0], span: part && onlyPart.value ? part : whole };
  const told = deliveries.state.value.data;
  return (
    <>
      <Verdict call={call} sessions={sessions.state.value.data} deliveries={told === "forbidden" ? undefined : told} />
      {part && (
        <label class="switch">
          <input type="checkbox" checked={onlyPart} onChange={(event) => (onlyPart.value = event.currentTarget.checked)} />
          Draw only the part that the transcript shows
        </label>
      )}
      <Inner of={timeline} lines={10} isThere={segments.length > 0}>
        {() => (
          <Timeline {...axis} segments={segments} part={onlyPart.value ? undefined : part} isCut={timeline.cut.value} onPick={pick(reader)} />
        )}
      </Inner>
      <div id="latency">
        <Inner of={answers} lines={8} isThere={answers.items.value.length > 0}>
          {() => (
            <Latency {...axis} answers={answers.items.value} figures={call.summary?.latency_ms} onPick={({ sequence }) => show(sequence)} />
          )}
        </Inner>
      </div>
      <div class="columns">
        <Inner of={transcript} lines={20}>
          {() => <Transcript reader={reader} segments={segments} begun={whole[0]} slow={slowFrom(call)} live={live} />}
        </Inner>
        <Details
          call={call}
          sessions={sessions}
          further={segments.filter(({ kind }) => kind === "session").length - ids.length}
          deliveries={deliveries}
          onErased={onErased}
        />
      </div>
    </>
  );
}

async function readTimeline(api: Verbatim, id: string, cursor: string | undefined, signal: AbortSignal) {
  const part = await api.getTimeline(id, { limit: PART, cursor }, { signal });
  return { ...part, items: part.segments.map((segment) => timed(segment, Date.now())) };
}

async function readAnswers(api: Verbatim, id: string, cursor: string | undefined, signal: AbortSignal) {
  const part = await api.listMessages(id, { role: "assistant", limit: PART, cursor }, { signal });
  return { ...part, items: part.data.map(answerOf).filter((answer) => answer !== undefined) };
}

/** Reads the deliveries, and again while one of them waits for its next attempt. */
function useDeliveries({ id, updated_at }: ConversationResponse): Loading<readonly DeliveryResponse[] | "forbidden"> {
  const waits = useRef(true);
  const deliveries = useLoad(
    `${id} ${updated_at}`,
    (api, signal) => unlessForbidden(api.listDeliveries({ conversation_id: id }, { signal }).then(({ data }) => data)),
    { every: waits.current ? EVERY.live : 0 },
  );
  const { data } = deliveries.state.value;
  waits.current = Array.isArray(data) && data.some(({ state }: DeliveryResponse) => state === "pending");
  return deliveries;
}

/** Adds to the transcript what is being said, from when it was read; what ends the stream is looked up. */
function useFollowing(call: ConversationResponse, reader: Reader, transcript: Loading<true>, again: () => void): void {
  const isThere = transcript.state.value.data === true;
  const live = call.ended_at === null;
  const from = useMemo(() => call.message_count, [call.id]); // before the transcript was read, so that no message is missed
  useEffect(() => {
    if (!live || !isThere) return undefined;
    const stream = follow(call.id, from, reader.take);
    const ended = stream.state.subscribe((state) => state === "ended" && again());
    return () => {
      ended();
      stream.close();
    };
  }, [call.id, live, isThere]);
}

function pick(reader: Reader) {
  return ({ message_id, started_at }: Timed) => {
    const message = reader.shown.value.messages.find(({ id }) => id === message_id);
    show(message?.sequence ?? started_at);
  };
}

function show(at: number | string): void {
  go(placeOf(at), { replace: true });
}

/** The latency from which on an answer is marked as slow; a few answers have no slowest 5 %. */
function slowFrom({ summary }: ConversationResponse): number | null | undefined {
  return summary && summary.latency_ms.count >= 20 ? summary.latency_ms.p95 : undefined;
}

/** Whether there is no such call; an id that is no UUID is invalid. */
function isMissing(error: unknown): boolean {
  return error instanceof ProblemError && [404, 410, 422].includes(error.problem.status);
}
