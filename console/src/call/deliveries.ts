/** What the orchestrator was told of a call, in words. */
import type { DeliveryResponse } from "../../../clients/typescript/src/types.ts";
import { moment, plural } from "../format.ts";

/** Returns whether the orchestrator has the intent and, if not, why. */
export function toldOf(delivery: DeliveryResponse): { words: string; isBad: boolean } {
  const { state, attempts, delivered_at, due_at } = delivery;
  const tried = plural(attempts, "attempt");
  const next = `the next at ${moment(due_at)}`;
  switch (state) {
    case "delivered":
      return { words: `told ${delivered_at ? moment(delivered_at) : ""}`.trim(), isBad: false };
    case "failed":
      return { words: `not told: given up after ${tried}`, isBad: true };
    case "held":
      return { words: "not told: held since the orchestrator answered 410", isBad: true };
    case "pending":
      return attempts === 0
        ? { words: `not told yet, ${next}`, isBad: false }
        : { words: `not told after ${tried}, ${next}`, isBad: true };
  }
}

/** Returns what the last attempt met with, undefined if it met with nothing. */
export function whyOf({ last_error, last_status }: DeliveryResponse): string | undefined {
  const status = last_status === null ? undefined : `status ${last_status}`;
  return [status, last_error ?? undefined].filter((part) => part !== undefined).join(": ") || undefined;
}
