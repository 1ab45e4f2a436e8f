/** What a delivery to the orchestrator waits for, and what an operator can do about it. */
import type { DeliveryResponse, DeliveryState } from "../../../clients/typescript/src/types.ts";
import { moment } from "../format.ts";

const OVERDUE = 60_000; // milliseconds after which a worker has taken what is due

export const MEANINGS: Readonly<Record<DeliveryState, string>> = {
  pending:
    "It is sent by itself: at once, and after failures nine times more within about three days. Sent again, it does not wait. " +
    "Deliveries of one call go in order.",
  delivered:
    "The orchestrator has accepted it, and there is nothing to do. Sent again, it has the same webhook-id, by which the " +
    "orchestrator knows the repetition.",
  failed: "Ten attempts have failed, and no other follows. Repair what the last answer tells of, then send it again.",
  held:
    "The orchestrator has answered 410: it wants no deliveries. None is sent until an operator sends one again, and then all " +
    "that are held.",
};

const NO_WORKER =
  "No worker has sent it yet. Look whether an earlier delivery of the same call waits, whether VERBATIM_DELIVER is off, and " +
  "whether `verbatim deliver` runs then.";
const BY_STATUS: readonly (readonly [from: number, to: number, advice: string])[] = [
  [300, 399, "Redirects are not followed: let VERBATIM_ORCHESTRATOR_URL be the address where it leads."],
  [401, 401, "The orchestrator does not accept the signature: is its secret one of VERBATIM_ORCHESTRATOR_SECRETS?"],
  [403, 403, "Something before the orchestrator may refuse the service, or its secret is another one."],
  [404, 405, "Does VERBATIM_ORCHESTRATOR_URL name the address at which the orchestrator takes deliveries?"],
  [410, 410, "The orchestrator wants no deliveries. Send one again once it does."],
  [429, 429, "The orchestrator asks for time."],
  [400, 499, "The orchestrator refuses what it was sent: its log says why."],
  [500, 599, "The orchestrator has failed: its log says why."],
];
const BY_ERROR: readonly (readonly [part: string, advice: string])[] = [
  ["not public", "If that is meant, set VERBATIM_ORCHESTRATOR_PRIVATE."],
  ["TLS", "Look at the certificate of the orchestrator, and at the host name in VERBATIM_ORCHESTRATOR_URL."],
  ["", "Does the orchestrator run, and can the service reach it?"],
];

/** Returns what an operator can do, undefined if nothing is to be done; `now` is in milliseconds since 1970. */
export function adviceOf(delivery: DeliveryResponse, now: number): string | undefined {
  const { state, due_at, last_status, last_error } = delivery;
  if (state === "delivered") return undefined;
  if (last_error !== null) return adviceAfter(last_status, last_error);
  return state === "pending" && now - Date.parse(due_at) > OVERDUE ? NO_WORKER : undefined;
}

function adviceAfter(status: number | null, error: string): string | undefined {
  if (status === null) return BY_ERROR.find(([part]) => error.includes(part))?.[1];
  return BY_STATUS.find(([from, to]) => from <= status && status <= to)?.[2];
}

/** Returns when the next attempt is, in words; undefined if there is none. */
export function nextOf({ state, due_at }: DeliveryResponse, now: number): string | undefined {
  if (state !== "pending") return undefined;
  return Date.parse(due_at) <= now ? "now" : moment(due_at, new Date(now));
}

/** Returns what the last attempt met with. */
export function answerOf({ state, attempts, last_status, last_error }: DeliveryResponse): string | undefined {
  if (last_error !== null) return last_error;
  if (last_status !== null) return `The orchestrator answered ${last_status}.`;
  return state === "pending" && attempts > 0 ? "An attempt is under way." : undefined;
}

/** Returns what became of a delivery since it was sent again, undefined while its attempt is under way or to come. */
export function outcomeOf(sent: DeliveryResponse, now: DeliveryResponse): { words: string; isBad: boolean } | undefined {
  if (now.attempts === sent.attempts || (now.last_status === null && now.last_error === null)) return undefined;
  if (now.state === "delivered") return { words: `The orchestrator has accepted it, with ${now.last_status}.`, isBad: false };
  const next = {
    pending: `The next attempt is at ${moment(now.due_at)}.`,
    failed: "That was the last attempt.",
    held: "It is held, and so are all others.",
  }[now.state];
  return { words: `${now.last_error} ${next}`, isBad: true };
}
