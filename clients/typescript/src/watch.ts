/**
 * A signal that aborts when `outer` does, or when `time` milliseconds have passed without a call of `stay`.
 *
 * `AbortSignal.any` and `AbortSignal.timeout` do the same, but React Native lacks them.
 */
export class Watch {
  /** Rejects when the signal aborts before `close`, for what does not listen to signals. */
  readonly over: Promise<never>;
  #giveUp: () => void = () => undefined;
  readonly #controller = new AbortController();
  readonly #time: number;
  readonly #outer: AbortSignal | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(time: number, outer?: AbortSignal) {
    this.#time = time;
    this.#outer = outer;
    this.over = new Promise((_, reject) => (this.#giveUp = () => reject(reasonOf(this.signal))));
    this.over.catch(() => undefined);
    outer?.addEventListener("abort", this.#abort);
    if (outer?.aborted) this.#abort();
    this.stay();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Begins the time anew. */
  stay(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#abort, this.#time);
  }

  /** Ends the watch, and aborts what is still under way. */
  close(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener("abort", this.#abort);
    this.#controller.abort();
  }

  #abort = (): void => {
    this.#controller.abort();
    this.#giveUp();
  };
}

/** Resolves after `time` milliseconds; rejects with the reason of `signal` as soon as it aborts. */
export function sleep(time: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(reasonOf(signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, time);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}

/** Returns why a signal has aborted, which React Native's signals do not say. */
export function reasonOf(signal: AbortSignal | undefined): unknown {
  return signal?.reason ?? new Error("The caller has ended the call.");
}
