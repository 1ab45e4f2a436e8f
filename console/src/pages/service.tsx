import type { ComponentChildren } from "preact";
import type {
  DeliveryState,
  ServiceReadiness,
  ServiceResponse,
  ServiceSizes,
  UnknownPart,
} from "../../../clients/typescript/src/types.ts";
import { Fact } from "../call/verdict.tsx";
import { now } from "../clock.ts";
import { age, count, plural, timeOfDay } from "../format.ts";
import { useLoad } from "../load.ts";
import { Heading } from "../parts/heading.tsx";
import { Loaded } from "../parts/loaded.tsx";
import { Time } from "../parts/time.tsx";
import { href } from "../route.ts";
import { connected, revision, searched, size } from "../service/words.ts";

const EVERY = 5_000; // milliseconds between two looks

/** Whether the service can do its work, what its promises rest on, and how it fares. */
export function Service() {
  const service = useLoad("", (api, signal) => api.getService({ signal }), { every: EVERY });
  const { data } = service.state.value;
  return (
    <>
      <Heading title="Service">
        {data && (
          <span>
            as of <Time at={data.checked_at} as={timeOfDay} />, read again every 5 s
          </span>
        )}
      </Heading>
      <Loaded of={service} lines={20}>
        {(found) => <Parts {...found} />}
      </Loaded>
    </>
  );
}

function Parts(state: ServiceResponse) {
  const { readiness, versions, workers, followers, unknown } = state;
  return (
    <>
      <Readiness {...readiness} />
      <div class="state-of">
        <div>
          <Part title="Durability" name="durability" of={state.durability} unknown={unknown}>
            {({ survives, promise, faults }) => (
              <>
                {faults.map((fault) => (
                  <p key={fault} class="bad">
                    {fault}
                  </p>
                ))}
                <p>A message that was acknowledged survives {survives}.</p>
                <p class="hint">{promise}</p>
              </>
            )}
          </Part>
          <Part title="Outbox" name="outbox" of={state.outbox} unknown={unknown}>
            {({ waiting, held, failed, oldest_at }) => (
              <dl class="pairs">
                <Backlog state="pending" name="Waiting" value={waiting} />
                <Backlog state="held" name="Held" value={held} isBad />
                <Backlog state="failed" name="Failed" value={failed} isBad />
                <Fact name="Oldest">{oldest_at === null ? "–" : <>waits for {age(now.value - Date.parse(oldest_at))}</>}</Fact>
              </dl>
            )}
          </Part>
          <Part title="Search" name="search" of={state.search} unknown={unknown} otherwise="No process stores words for search.">
            {(found) => {
              const { words, isBad } = searched(found);
              return <p class={isBad ? "bad" : ""}>{words}</p>;
            }}
          </Part>
          <section>
            <h2>Processes</h2>
            <dl class="pairs">
              <Fact name="Workers">{count(workers)}, of the server that answers</Fact>
              <Fact name="Followers">{count(followers)}, at these workers</Fact>
              <Fact name="Database">
                <Inside name="releases" of={state.releases} unknown={unknown}>
                  {connected}
                </Inside>
              </Fact>
            </dl>
          </section>
          <section>
            <h2>Versions</h2>
            <dl class="pairs">
              <Fact name="Verbatim">{versions.service}</Fact>
              <Fact name="Python">{versions.python}</Fact>
              <Fact name="PostgreSQL">{versions.postgresql ?? <span class="dim">not known</span>}</Fact>
              <Fact name="Revision">
                <Inside name="durability" of={state.schema} unknown={unknown}>
                  {revision}
                </Inside>
              </Fact>
            </dl>
          </section>
        </div>
        <Part title="Sizes" name="sizes" of={state.sizes} unknown={unknown}>
          {(sizes) => <Sizes {...sizes} />}
        </Part>
      </div>
    </>
  );
}

function Readiness({ ready, remedy, database, schema, writes, queue }: ServiceReadiness) {
  return (
    <section class="readiness">
      <h2 class={ready ? "" : "bad"}>{ready ? "✓ Ready: messages are recorded" : "✗ Not ready: messages cannot be recorded"}</h2>
      {remedy !== null && <p>{remedy}</p>}
      <dl class="facts">
        {Object.entries({ Database: database, Schema: schema, Writes: writes, Queue: queue }).map(([name, word]) => (
          <Fact key={name} name={name}>
            <span class={word === "ok" ? "" : "bad"}>{word}</span>
          </Fact>
        ))}
      </dl>
    </section>
  );
}

interface InsideProps<T> {
  /** The name of the part in `unknown`. */
  name: string;
  of: T | null;
  unknown: readonly UnknownPart[];
  /** What is said of a part that is null and could be read. */
  otherwise?: string;
  children: (of: T) => ComponentChildren;
}

/** A part of the state, or why it could not be read. */
function Inside<T>({ name, of, unknown, otherwise = "Not known.", children }: InsideProps<T>) {
  if (of !== null) return <>{children(of)}</>;
  const reason = unknown.find(({ part }) => part === name)?.reason;
  return reason === undefined ? <p class="dim">{otherwise}</p> : <p class="bad">Could not be read: {reason}</p>;
}

function Part<T>({ title, ...inside }: InsideProps<T> & { title: string }) {
  return (
    <section>
      <h2>{title}</h2>
      <Inside {...inside} />
    </section>
  );
}

interface BacklogProps {
  state: DeliveryState;
  name: string;
  value: number;
  /** Whether an operator has to act if there are any. */
  isBad?: boolean;
}

function Backlog({ state, name, value, isBad = false }: BacklogProps) {
  return (
    <Fact name={name}>
      <a href={href(["deliveries"], { state })} class={isBad && value > 0 ? "bad" : ""}>
        {plural(value, "delivery", "deliveries")}
      </a>
    </Fact>
  );
}

function Sizes({ database_bytes, wal_bytes, tables }: ServiceSizes) {
  return (
    <>
      <dl class="pairs">
        <Fact name="Database">{size(database_bytes)}</Fact>
        <Fact name="WAL">{wal_bytes === null ? "not known: the role lacks pg_monitor" : size(wal_bytes)}</Fact>
      </dl>
      <table class="sizes">
        <caption class="unseen">Tables with their indexes, the largest first</caption>
        <thead>
          <tr>
            <th scope="col">Table, with its indexes</th>
            <th scope="col" class="num">
              Size
            </th>
          </tr>
        </thead>
        <tbody>
          {tables.map(({ table, bytes }) => (
            <tr key={table}>
              <td>{table}</td>
              <td class="num">{size(bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
