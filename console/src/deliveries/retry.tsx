import { useState } from "preact/hooks";
import type { DeliveryResponse } from "../../../clients/typescript/src/types.ts";
import { ask } from "../api.ts";
import { now } from "../clock.ts";
import { useLoad } from "../load.ts";
import { Confirm, Dialog } from "../parts/dialog.tsx";
import { Problem } from "../parts/problem.tsx";
import { adviceOf, outcomeOf } from "./advice.ts";

const EVERY = 1_000; // milliseconds between two looks for the outcome
const LONG = 10_000; // milliseconds in which a worker takes what is due

interface Props {
  delivery: DeliveryResponse;
  onClose: () => void;
}

/** Asks, sends a delivery again, and shows what the orchestrator answers. */
export function Retry({ delivery, onClose }: Props) {
  const [sent, setSent] = useState<DeliveryResponse>();
  const [error, setError] = useState<unknown>();
  if (sent) return <Outcome sent={sent} onClose={onClose} />;
  const send = () => {
    setError(undefined);
    ask((api) => api.retryDelivery(delivery.id)).then(setSent, setError);
  };
  return (
    <Confirm title="Send it again?" does="Send it again" onConfirm={send} onClose={onClose}>
      <p>{consequence(delivery)}</p>
      {error !== undefined && <Problem error={error} />}
    </Confirm>
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

function Outcome({ sent, onClose }: { sent: DeliveryResponse; onClose: () => void }) {
  const [since] = useState(Date.now);
  const [settled, setSettled] = useState(false);
  const loading = useLoad(sent.id, (api, signal) => api.getDelivery(sent.id, { signal }), { every: settled ? 0 : EVERY });
  const { data, error } = loading.state.value;
  const outcome = data && outcomeOf(sent, data);
  if (outcome && !settled) setSettled(true);
  const advice = outcome && adviceOf(data, now.value);
  return (
    <Dialog title="Sent again" onClose={onClose}>
      <p role="status" class={outcome?.isBad ? "bad" : ""}>
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
    </Dialog>
  );
}
