import { reasonOf } from "./watch.js";

/** What a `Phone` says of its queue. */
export interface Queue {
  readonly state: { readonly queued: number; readonly inFlight: number };
  subscribe(listener: () => void): () => void;
}

/** Resolves when everything that `phone` has heard is on record or given up; rejects when `signal` aborts. */
export function recorded(phone: Queue, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (signal?.aborted) reject(reasonOf(signal));
      else if (phone.state.queued + phone.state.inFlight > 0) return;
      else resolve();
      leave();
    };
    const unsubscribe = phone.subscribe(look);
    const leave = () => {
      unsubscribe();
      signal?.removeEventListener("abort", look);
    };
    signal?.addEventListener("abort", look);
    look();
  });
}
