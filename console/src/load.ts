/** What a page reads: loaded, kept while it is asked again, and asked again until the service answers. */
import { signal, type ReadonlySignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { ask, isPassing, type Verbatim } from "./api.ts";

export interface State<T> {
  /** What was read last, also while it is being read anew. */
  readonly data?: T | undefined;
  /** When `data` was read, in milliseconds since 1970. */
  readonly at?: number | undefined;
  /** Why it could not be read the last time. */
  readonly error?: unknown;
  readonly loading: boolean;
}

export interface Loading<T> {
  readonly state: ReadonlySignal<State<T>>;
  reload(): void;
}

interface Options {
  /** Milliseconds after which it is read again while the page is visible; 0 for never. */
  every?: number;
}

type Read<T> = (api: Verbatim, signal: AbortSignal) => Promise<T>;

const PAUSE = 2_000; // milliseconds after which what failed for a passing reason is asked again
const LONGEST = 30_000;

/**
 * Reads with `read` now, and again when `key` changes; `key` names everything that `read` depends on.
 *
 * A change of `key` keeps the data of the key before until the new data are there, so that a filter does not blank the
 * page. What fails for a passing reason is asked again by itself.
 */
export function useLoad<T>(key: string, read: Read<T>, { every = 0 }: Options = {}): Loading<T> {
  const loader = useMemo(() => new Loader<T>(), []);
  loader.read = read;
  loader.every = every;
  useEffect(() => loader.start(), [key]);
  return loader;
}

class Loader<T> implements Loading<T> {
  readonly state = signal<State<T>>({ loading: true });
  read!: Read<T>;
  every = 0;
  #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = false; // while the page is hidden
  #failed = 0;

  start(): () => void {
    this.reload();
    document.addEventListener("visibilitychange", this.#look);
    return () => {
      document.removeEventListener("visibilitychange", this.#look);
      this.#stop();
    };
  }

  readonly reload = (): void => {
    this.#stop();
    this.#due = false;
    this.#controller = new AbortController();
    void this.#load(this.#controller.signal);
  };

  readonly #look = (): void => {
    if (this.#due && document.visibilityState === "visible") this.reload();
  };

  #stop(): void {
    clearTimeout(this.#timer);
    this.#controller.abort();
  }

  async #load(signal: AbortSignal): Promise<void> {
    this.state.value = { ...this.state.value, loading: true };
    try {
      const data = await ask((api) => this.read(api, signal), signal);
      if (signal.aborted) return;
      this.#failed = 0;
      this.state.value = { data, at: Date.now(), loading: false };
      this.#later(this.every);
    } catch (error) {
      if (signal.aborted) return;
      this.state.value = { ...this.state.value, error, loading: false };
      if (isPassing(error)) this.#later(Math.min(LONGEST, PAUSE * 2 ** this.#failed++) * (0.5 + Math.random()));
    }
  }

  #later(pause: number): void {
    if (pause === 0) return;
    this.#timer = setTimeout(() => {
      this.#due = true;
      this.#look();
    }, pause);
  }
}
