import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { ConversationResponse } from "../../../clients/typescript/src/types.ts";
import { isPassing, ProblemError } from "../api.ts";
import { type Answer, answerOf } from "../call/answers.ts";
import { Details, unlessForbidden } from "../call/details.tsx";
import { type Span, spanOf, type Timed, timed } from "../call/drawn.ts";
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
  const live = useSignal(true);
  const call = useLoad(id, (api, signal) => api.getConversation(id, { include: "summary" }, { signal }), {
    every: live.value ? EVERY.live : EVERY.ended,
  });
  const { data, error } = call.state.value;
  live.value = data?.ended_at === null;
  if (erased.value || (data && isGone(error))) return <Erased />;
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

function Erased() {
  return (
    <>
      <Heading title="This call was erased" />
      <p>
        What was said in it is gone, and cannot be brought back. <a href={href(["calls"])}>See all calls</a>.
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
  const whole = useSignal(true);
  const reader = useMemo(() => new Reader(id), [id]);
  const at = wanted();
  const transcript = useLoad(`${id} ${at ?? ""}`, (api, signal) => reader.open(api, at, live, signal));
  const timeline = useParts(`${id} timeline`, async (api, cursor, signal) => {
    const part = await api.getTimeline(id, { limit: PART, cursor }, { signal });
    return { ...part, items: part.segments.map((segment) => timed(segment, Date.now())) };
  }, every);
  const answers = useParts(`${id} answers`, async (api, cursor, signal) => {
    const part = await api.listMessages(id, { role: "assistant", limit: PART, cursor }, { signal });
    return { ...part, items: part.data.map(answerOf).filter((answer) => answer !== undefined) };
  }, every);
  const { messages, earlier, later } = reader.shown.value;
  const ids = sessionsOf(call, messages);
  const sessions = useLoad(ids.join(" ") + call.ended_at, (api, signal) => readSessions(api, ids, signal), { every });
  const deliveries = useLoad(`${id} ${call.updated_at}`, (api, signal) =>
    unlessForbidden(api.listDeliveries({ conversation_id: id }, { signal }).then(({ data }) => data)), { every: EVERY.live });
  useFollowing(call, reader, transcript, again);
  useCallKeys(live ? reader : undefined);

  const segments = timeline.items.value;
  const all = spanOf(segments) ?? [Date.parse(call.created_at), Date.parse(call.created_at) + 1000];
  const read: Span | undefined =
    earlier || later ? [Date.parse(messages[0]?.timestamp ?? ""), Date.parse(messages.at(-1)?.timestamp ?? "") + 1000] : undefined;
  const span = read && !whole.value ? read : all;
  const told = deliveries.state.value.data;
  return (
    <>
      <Verdict call={call} sessions={sessions.state.value.data} deliveries={told === "forbidden" ? undefined : told} />
      {read && (
        <label class="switch">
          <input type="checkbox" checked={!whole.value} onChange={(event) => (whole.value = !event.currentTarget.checked)} />
          Draw only the part that the transcript shows
        </label>
      )}
      <Loaded of={timeline} lines={10}>
        {() => <Timeline segments={segments} begun={all[0]} span={span} read={whole.value ? read : undefined} onPick={pickSegment(reader)} />}
      </Loaded>
      <div id="latency">
        <Loaded of={answers} lines={8}>
          {() => (
            <Latency answers={answers.items.value} figures={call.summary?.latency_ms} begun={all[0]} span={span} onPick={pickAnswer} />
          )}
        </Loaded>
      </div>
      <div class="columns">
        <Loaded of={transcript} lines={20}>
          {() => (
            <Transcript reader={reader} segments={segments} begun={all[0]} slow={slowFrom(call)} live={live} />
          )}
        </Loaded>
        <Details call={call} sessions={sessions} deliveries={deliveries} onErased={onErased} />
      </div>
    </>
  );
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

function pickSegment(reader: Reader) {
  return ({ message_id, started_at }: Timed) => {
    const message = reader.shown.value.messages.find(({ id }) => id === message_id);
    go(placeOf(message?.sequence ?? started_at));
  };
}

function pickAnswer({ sequence }: Answer): void {
  go(placeOf(sequence));
}

/** The latency from which on an answer is marked as slow; a few answers have no slowest 5 %. */
function slowFrom({ summary }: ConversationResponse): number | null | undefined {
  return summary && summary.latency_ms.count >= 20 ? summary.latency_ms.p95 : undefined;
}

/** Whether the service says that what was read before is not there any more. */
function isGone(error: unknown): boolean {
  return error instanceof ProblemError && !isPassing(error) && (error.is("conversation-not-found") || error.is("conversation-erased"));
}
