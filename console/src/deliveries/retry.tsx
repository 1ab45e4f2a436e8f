import { useEffect, useRef, useState } from "preact/hooks";
import type { DeliveryResponse } from "../../../clients/typescript/src/types.ts";
import { ask } from "../api.ts";
import { now } from "../clock.ts";
import { useLoad } from "../load.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Problem } from "../parts/problem.tsx";
import { adviceOf, outcomeOf } from "./advice.ts";

const EVERY = 1_000; // milliseconds between two looks for the outcome
const LONG = 10_000; // milliseconds in which a worker takes what is due

interface Props {
  delivery: DeliveryResponse;
  onClose: () => void;
}

/** Asks, sends a delivery again, and shows what the orchestrator answers. One dialog: a second would close with the first. */
export function Retry({ delivery, onClose }: Props) {
  const [sent, setSent] = useState<DeliveryResponse>();
  return (
    <Dialog title={sent ? "Sent again" : "Send it again?"} onClose={onClose}>
      {sent ? <Outcome sent={sent} /> : <Question delivery={delivery} onSent={setSent} onClose={onClose} />}
    </Dialog>
  );
}

interface QuestionProps extends Props {
  onSent: (sent: DeliveryResponse) => void;
}

function Question({ delivery, onSent, onClose }: QuestionProps) {
  const [error, setError] = useState<unknown>();
  const send = () => {
    setError(undefined);
    ask((api) => api.retryDelivery(delivery.id)).then(onSent, setError);
  };
  return (
    <>
      <p>{consequence(delivery)}</p>
      {error !== undefined && <Problem error={error} />}
      <p class="actions">
        <button type="button" onClick={send}>
          Send it again
        </button>
        <button type="button" class="quiet" onClick={onClose} autofocus>
          Leave it
        </button>
      </p>
    </>
  );
}

function consequence({ state }: DeliveryResponse): string {
  const same = "It keeps its webhook-id.";
  switch (state) {
    case "held":
      return `The orchestrator gets this delivery, and all others that are held since it has answered 410. ${same}`;
    case "delivered":
      return `The orchestrator has accepted this delivery, and gets it once more. ${same} Deliveries that are held are sent, too.`;
    default:
      return `The orchestrator gets this delivery at once. ${same} Deliveries that are held are sent, too.`;
  }
}

function Outcome({ sent }: { sent: DeliveryResponse }) {
  const [since] = useState(Date.now);
  const [settled, setSettled] = useState(false);
  const words = useRef<HTMLParagraphElement>(null);
  const loading = useLoad(sent.id, (api, signal) => api.getDelivery(sent.id, { signal }), { every: settled ? 0 : EVERY });
  const { data, error } = loading.state.value;
  const outcome = data && outcomeOf(sent, data);
  const advice = outcome && adviceOf(data, now.value);
  useEffect(() => words.current?.focus(), []); // the button that had the focus is gone
  useEffect(() => setSettled(outcome !== undefined), [outcome !== undefined]);
  return (
    <>
      <p ref={words} tabIndex={-1} role="status" class={outcome?.isBad ? "bad" : ""}>
        {outcome?.words ?? "The orchestrator has not answered yet."}
      </p>
      {advice && <p>{advice}</p>}
      {!outcome && now.value - since > LONG && (
        <p>
          No worker may be sending: look whether <code>VERBATIM_DELIVER</code> is off, and whether <code>verbatim deliver</code>{" "}
          runs then. You can close this; the delivery is sent all the same once one does.
        </p>
      )}
      {error !== undefined && <Problem error={error} again={loading.reload} />}
    </>
  );
}
