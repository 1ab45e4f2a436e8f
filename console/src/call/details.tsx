import { useSignal } from "@preact/signals";
import type { ConversationResponse, DeliveryResponse, Incident, JsonValue, TranscriptFormat } from "../../../clients/typescript/src/types.ts";
import { ask, ProblemError } from "../api.ts";
import { clock, count, plural } from "../format.ts";
import type { Loading } from "../load.ts";
import { Confirm } from "../parts/dialog.tsx";
import { Copy, Problem } from "../parts/problem.tsx";
import { Said } from "../parts/said.tsx";
import { Time } from "../parts/time.tsx";
import { Inner } from "./inner.tsx";
import { lackOf, type Session } from "./sessions.ts";
import { Fact, Told } from "./verdict.tsx";

interface Props {
  call: ConversationResponse;
  sessions: Loading<Session[]>;
  /** How many sessions the call has besides these. */
  further: number;
  deliveries: Loading<readonly DeliveryResponse[] | "forbidden">;
  onErased: () => void;
}

/** All else that is on record of a call, and what can be done with it. */
export function Details({ call, sessions, further, deliveries, onErased }: Props) {
  const all = sessions.state.value.data ?? [];
  return (
    <section class="details" aria-labelledby="details">
      <h2 id="details" tabIndex={-1}>
        Details
      </h2>
      <Intent call={call} deliveries={deliveries} />
      <section>
        <h3>Voice sessions</h3>
        <Inner of={sessions} lines={4}>
          {() => (
            <>
              {all.length === 0 && <p class="hint">None: programs posted its messages.</p>}
              {all.map((session) => (
                <OneSession key={session.state.id} {...session} />
              ))}
              {further > 0 && (
                <p class="hint">{plural(further, "further session")}: turn to the part of the transcript that they recorded.</p>
              )}
            </>
          )}
        </Inner>
      </section>
      <section>
        <h3>Record</h3>
        <dl class="pairs">
          <Fact name="Id">
            <code>{call.id}</code> <Copy text={call.id} label="Copy" />
          </Fact>
          <Fact name="Owner">{call.user_id === null ? "–" : <Said text={call.user_id} />}</Fact>
          <Fact name="About">{call.context_type}</Fact>
          <Fact name="Begun">
            <Time at={call.created_at} />
          </Fact>
          <Fact name="Ended">{call.ended_at === null ? "–" : <Time at={call.ended_at} />}</Fact>
          <Fact name="Changed">
            <Time at={call.updated_at} />
          </Fact>
          {call.linked_goal_id !== null && <Fact name="Goal">{call.linked_goal_id}</Fact>}
          {call.linked_task_id !== null && <Fact name="Task">{call.linked_task_id}</Fact>}
        </dl>
      </section>
      <Export id={call.id} />
      <Erase id={call.id} onErased={onErased} />
    </section>
  );
}

function Intent({ call, deliveries }: Pick<Props, "call" | "deliveries">) {
  const all = deliveries.state.value.data;
  return (
    <section>
      <h3>Intent</h3>
      {call.extracted_intent === null ? (
        <p class="hint">None was extracted.</p>
      ) : (
        <>
          <p>{call.extracted_intent.toLowerCase().replaceAll("_", " ")}</p>
          <Json value={call.intent_payload} />
        </>
      )}
      <Inner of={deliveries} lines={2}>
        {() =>
          all === "forbidden" ? (
            <p class="hint">Deliveries are shown to a token with the scope deliveries:manage.</p>
          ) : (
            <ul class="plain">
              {all?.map((delivery) => (
                <li key={delivery.id}>
                  <Time at={delivery.created_at} /> {delivery.type}
                  <Told delivery={delivery} />
                </li>
              ))}
            </ul>
          )
        }
      </Inner>
    </section>
  );
}

function OneSession({ state, receipt }: Session) {
  const lack = lackOf(receipt);
  const counts = Object.entries(state.event_counts);
  return (
    <section class="session">
      <p>
        <code>{state.id}</code>
      </p>
      <dl class="pairs">
        <Fact name="From">
          <Time at={state.started_at} />
        </Fact>
        <Fact name="Until">
          {state.ended_at === null ? "goes on" : <Time at={state.ended_at} />}
          {state.duration_seconds !== null && `, ${clock(state.duration_seconds)}`}
          {state.end_reason !== null && (
            <>
              , <Said text={state.end_reason} />
            </>
          )}
        </Fact>
        <Fact name="Receipt">
          {receipt.complete ? "✓ complete" : lack ? <span class="bad">missing: {lack}</span> : state.ended_at ? "unknown" : "nothing missing so far"}
          {`, ${count(receipt.received)} of ${count(receipt.expected)} received`}
          {receipt.duplicates > 0 && `, ${plural(receipt.duplicates, "duplicate")}`}
        </Fact>
        <Fact name="Provider">
          {state.provider}
          {state.provider_session_ids.length > 0 && `, ${plural(state.provider_session_ids.length, "connection")}`}
        </Fact>
        {state.unverified_count > 0 && <Fact name="Unverified">{count(state.unverified_count)} in the provider's history alone</Fact>}
      </dl>
      {counts.length > 0 && (
        <details>
          <summary>{plural(counts.reduce((sum, [, number]) => sum + number, 0), "event")} besides messages</summary>
          <dl class="pairs">
            {counts.map(([type, number]) => (
              <Fact key={type} name={type}>
                {count(number)}
              </Fact>
            ))}
          </dl>
        </details>
      )}
      {state.incidents.length > 0 && (
        <details>
          <summary>{plural(state.incidents.length, "incident")}</summary>
          {state.incidents.map((incident, index) => (
            <OneIncident key={index} {...incident} />
          ))}
        </details>
      )}
    </section>
  );
}

function OneIncident({ type, received_at, detail }: Incident) {
  return (
    <div>
      <p>
        <Time at={received_at} /> {type}
      </p>
      <Json value={detail} />
    </div>
  );
}

function Json({ value }: { value: JsonValue }) {
  return (
    <pre tabIndex={0}>
      <Said text={JSON.stringify(value, null, 2)} />
    </pre>
  );
}

const FORMATS: Readonly<Partial<Record<TranscriptFormat, readonly [name: string, suffix: string]>>> = {
  text: ["Text", "txt"],
  markdown: ["Markdown", "md"],
  vtt: ["Captions (VTT)", "vtt"],
  srt: ["Captions (SRT)", "srt"],
  jsonl: ["JSON lines", "jsonl"],
};

/** Transcripts to keep. The service's own bytes: what a browser parses and writes again may have other numbers. */
function Export({ id }: { id: string }) {
  const error = useSignal<unknown>(undefined);
  const save = async (format: TranscriptFormat, suffix: string) => {
    error.value = undefined;
    try {
      download(await ask((api) => api.getTranscript(id, { format: format as "text" })), `${id}.${suffix}`);
    } catch (caught) {
      error.value = caught;
    }
  };
  return (
    <section>
      <h3>Export the transcript</h3>
      <p class="actions">
        {Object.entries(FORMATS).map(([format, [name, suffix]]) => (
          <button key={format} type="button" onClick={() => void save(format as TranscriptFormat, suffix)}>
            {name}
          </button>
        ))}
      </p>
      {error.value !== undefined && <Problem error={error.value} />}
    </section>
  );
}

function download(text: string, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text]));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function Erase({ id, onErased }: { id: string; onErased: () => void }) {
  const asking = useSignal(false);
  const error = useSignal<unknown>(undefined);
  const erase = async () => {
    asking.value = false;
    try {
      await ask((api) => api.eraseConversation(id));
      onErased();
    } catch (caught) {
      error.value = caught;
    }
  };
  return (
    <section>
      <h3>Erase</h3>
      <p class="actions">
        <button type="button" onClick={() => (asking.value = true)}>
          Erase this call …
        </button>
      </p>
      {error.value !== undefined && <Problem error={error.value} />}
      {asking.value && (
        <Confirm title="Erase this call?" does="Erase it" onConfirm={() => void erase()} onClose={() => (asking.value = false)}>
          <p>The call and all that was said in it are erased for good, for every reader. This cannot be undone.</p>
        </Confirm>
      )}
    </section>
  );
}

/** Returns what `read` does, or that the reader's token may not. */
export async function unlessForbidden<T>(read: Promise<T>): Promise<T | "forbidden"> {
  try {
    return await read;
  } catch (error) {
    if (error instanceof ProblemError && error.problem.status === 403) return "forbidden";
    throw error;
  }
}
