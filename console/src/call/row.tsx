import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { MessageResponse } from "../../../clients/typescript/src/types.ts";
import { age, count, latency, utc } from "../format.ts";
import { Said } from "../parts/said.tsx";
import { answerOf, height } from "./answers.ts";
import { elapsed } from "./axis.ts";
import { argumentsOf, type Call, type Entry, type Happened, lateOf, messagesOf, redactedOf, repairedOf, textOf, tookOf } from "./entries.ts";
import { languageOf } from "./language.ts";
import { MessageLink } from "./place.tsx";
import { Redact } from "./redact.tsx";

const LONG = 8_000; // UTF-16 units of a text that are shown at once, about four pages
const ASIDES: ReadonlySet<unknown> = new Set(["backchannel", "filler"]);

interface Props {
  entry: Entry;
  begun: number;
  slow: number | null | undefined;
  /** Whether the address names it. */
  isHere: boolean;
  onRedacted: (message: MessageResponse) => void;
}

/** A line of a transcript: its place, its time since the call began, who, and what. */
export function Row({ entry, begun, slow, isHere, onRedacted }: Props) {
  if (entry.kind === "happened") return <HappenedRow {...entry} begun={begun} />;
  const messages = messagesOf(entry);
  const [message] = messages;
  if (!message) return null;
  const isIncident = messages.some((each) => lateOf(each) !== undefined || repairedOf(each) !== undefined);
  return (
    <li
      tabIndex={-1}
      class={`${message.role}${isHere ? " here" : ""}`}
      data-call={entry.kind === "call" || undefined}
      data-user={message.role === "user" || undefined}
      data-incident={isIncident || undefined}
      data-interrupted={message.metadata["interrupted"] === true || undefined}
    >
      <MessageLink sequence={message.sequence} />
      <At time={message.timestamp} begun={begun} />
      <span class="speaker">{message.role}</span>
      <div class="words">
        {entry.kind === "said" ? <Words message={message} /> : <CallWords call={entry} />}
        <Marks messages={messages} />
        {isHere && messages.map((each) => <Redact key={each.id} message={each} onRedacted={onRedacted} />)}
      </div>
      <Waited message={message} slow={slow} />
    </li>
  );
}

function At({ time, begun }: { time: string; begun: number }) {
  return (
    <time dateTime={time} title={utc(time)}>
      {elapsed(Date.parse(time) - begun)}
    </time>
  );
}

/** What was said. Of an interrupted answer that is what was heard; what would have been said is folded. */
function Words({ message }: { message: MessageResponse }) {
  const meant = textOf([message], "generated_text");
  const lang = languageOf(message);
  return (
    <>
      {message.content === "" ? <span class="dim">nothing was heard</span> : <Text text={message.content} lang={lang} />}
      {meant && (
        <details>
          <summary>What it was going to say</summary>
          <Text text={meant} lang={lang} />
        </details>
      )}
    </>
  );
}

/** A function call on one line; arguments and answer are folded, as they were recorded. */
function CallWords({ call }: { call: Call }) {
  const messages = messagesOf(call);
  const name = textOf(messages, "name") ?? "function";
  const given = argumentsOf(call);
  const state = call.result?.metadata["state"];
  const took = tookOf(call);
  const answer = call.result?.content ?? "";
  return (
    <details>
      <summary>
        <code>
          <Said text={name} />
        </code>
        {" → "}
        {state === "failed" && <strong class="bad">failed: </strong>}
        {state === "cancelled" ? "cancelled" : call.result ? <Said text={cut(answer, 80)} /> : <span class="dim">no answer here</span>}
        {took !== undefined && <span class="took"> {latency(took)}</span>}
      </summary>
      <p class="hint">Arguments</p>
      {given === undefined ? <p class="dim">not in this part of the call</p> : <Raw text={given} />}
      {[...call.partial, ...(call.result ? [call.result] : [])].map((message) => (
        <div key={message.id}>
          <p class="hint">{message.metadata["state"] === "in_progress" ? "Answer in part" : "Answer"}</p>
          <Raw text={message.content} />
        </div>
      ))}
    </details>
  );
}

function Raw({ text }: { text: string }) {
  return (
    <pre tabIndex={0}>
      <Text text={text} lang="" />
    </pre>
  );
}

/** A text whose end is left out while it is very long, because a browser needs seconds to set a megabyte. */
function Text({ text, lang }: { text: string; lang: string }) {
  const [whole, setWhole] = useState(false);
  const shown = whole ? text : cut(text, LONG);
  return (
    <>
      <Said text={shown} lang={lang} />
      {shown !== text && (
        <button type="button" class="quiet" onClick={() => setWhole(true)}>
          Show all {count(text.length)} characters
        </button>
      )}
    </>
  );
}

function Marks({ messages }: { messages: readonly MessageResponse[] }) {
  const [message] = messages;
  const marks: ComponentChildren[] = [];
  const late = messages.map(lateOf).find((by) => by !== undefined);
  const repaired = messages.map(repairedOf).find((parts) => parts !== undefined);
  if (message?.metadata["interrupted"] === true) marks.push("interrupted");
  if (ASIDES.has(message?.metadata["behavior"])) marks.push(String(message?.metadata["behavior"]));
  if (message?.role !== "function" && message?.input_modality === "text") marks.push("not spoken");
  if (late !== undefined) marks.push(`late: recorded ${age(late)} after its time`);
  const redacted = messages.map(redactedOf).find((reason) => reason !== undefined);
  if (redacted !== undefined) marks.push(<>redacted: {<Said text={redacted} />}</>);
  if (repaired !== undefined) marks.push(<>repaired: {<Said text={repaired} />}</>);
  if (marks.length === 0) return null;
  return (
    <p class="marks">
      {marks.map((mark, index) => (
        <span key={index}>{mark}</span>
      ))}
    </p>
  );
}

/** How long the user waited for an answer. */
function Waited({ message, slow }: { message: MessageResponse; slow: number | null | undefined }) {
  const answer = answerOf(message);
  if (!answer) return null;
  const waited = height(answer);
  const isSlow = slow != null && waited >= slow;
  return (
    <span class={isSlow ? "waited slow" : "waited"} title={isSlow ? "Among the slowest 5 % of this call" : "Latency of the answer"}>
      {latency(waited)}
    </span>
  );
}

/** What went wrong between two messages. */
function HappenedRow({ segment, begun }: Happened & { begun: number }) {
  return (
    <li tabIndex={-1} class="happened" data-incident>
      <span />
      <At time={segment.started_at} begun={begun} />
      <span class="speaker">{segment.lane}</span>
      <div class="words">
        <Said text={segment.label} />
      </div>
    </li>
  );
}

/** Returns the beginning of a text, which does not end within a character. */
function cut(text: string, most: number): string {
  if (text.length <= most) return text;
  const end = text.charCodeAt(most - 1);
  return text.slice(0, end >= 0xd800 && end < 0xdc00 ? most - 1 : most);
}
