/**
 * The one stream of a tab, because browsers allow six connections to an origin with HTTP/1.1.
 *
 * It goes on after the last message that the page has, whatever breaks it; it is closed while the tab has been hidden for
 * a minute, and opened again when it is seen.
 */
import { type Signal, signal } from "@preact/signals";
import type { MessageResponse } from "../../clients/typescript/src/types.ts";
import { ask, isPassing } from "./api.ts";

const HIDDEN = 60_000; // milliseconds
const PAUSE = 2_000; // milliseconds, after an error that the client does not deal with itself

export interface Stream {
  /** `closed` while the tab is hidden, `ended` once the conversation has. */
  readonly state: Signal<"open" | "closed" | "ended">;
  /** Why it has ended, if the service refused it. */
  readonly error: Signal<unknown>;
  close(): void;
}

let current: Stream | undefined;

/**
 * Calls `take` for each message after `afterSequence`, in recorded order, and for earlier ones that were redacted since;
 * closes the stream that was open before.
 */
export function follow(conversation: string, afterSequence: number, take: (message: MessageResponse) => void): Stream {
  current?.close();
  const opened = new Follower(conversation, afterSequence, take);
  current = opened;
  return opened;
}

class Follower implements Stream {
  readonly state: Stream["state"] = signal("closed");
  readonly error: Signal<unknown> = signal(undefined);
  readonly #conversation: string;
  readonly #take: (message: MessageResponse) => void;
  #after: number;
  #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(conversation: string, after: number, take: (message: MessageResponse) => void) {
    [this.#conversation, this.#after, this.#take] = [conversation, after, take];
    document.addEventListener("visibilitychange", this.#look);
    this.#open();
  }

  close(): void {
    document.removeEventListener("visibilitychange", this.#look);
    this.#pause();
  }

  readonly #look = (): void => {
    clearTimeout(this.#timer);
    if (document.visibilityState === "hidden") this.#timer = setTimeout(() => this.#pause(), HIDDEN);
    else if (this.state.value === "closed") this.#open();
  };

  #pause(): void {
    clearTimeout(this.#timer);
    this.#controller.abort();
    if (this.state.value === "open") this.state.value = "closed";
  }

  #open(): void {
    this.#controller = new AbortController();
    this.state.value = "open";
    void this.#run(this.#controller.signal);
  }

  async #run(signal: AbortSignal): Promise<void> {
    try {
      await ask(async (api) => {
        const options = { afterSequence: this.#after, signal, onRedacted: this.#take };
        for await (const message of api.follow(this.#conversation, options)) {
          this.#after = message.sequence;
          this.#take(message);
        }
      }, signal);
      this.state.value = "ended";
    } catch (error) {
      if (signal.aborted) return;
      if (isPassing(error)) {
        this.#timer = setTimeout(() => this.#open(), PAUSE * (0.5 + Math.random()));
        return;
      }
      this.error.value = error;
      this.state.value = "ended";
    }
  }
}
