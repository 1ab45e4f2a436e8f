/**
 * Sends requests by the four rules for senders (docs/guarantees.md).
 *
 * A time-out, a cut connection, 408, 429 and a 5xx leave the outcome unknown, or say that nothing was done. The same bytes
 * with the same ids are then sent again, because the service recognises a repetition. After 401 they are sent once more,
 * at once, with a new token. Any other refusal is final. A request whose repetition the service would not recognise is
 * repeated only if the service has certainly not carried it out.
 */
import { ProblemError, TransportError, UnexpectedResponse, VerbatimError } from "./errors.js";
import type { Problem } from "./types.js";
import { sleep, Watch } from "./watch.js";

/** How to reach the service. */
export interface Service {
  /** The address of the API, as `https://record.example/api/v1`. */
  api: string;
  /** Returns the token for the next attempt; called before each. */
  token?: () => string | Promise<string>;
  /** For React Native: `fetch` of `expo/fetch`, whose answers can be read while they come. */
  fetch?: typeof fetch;
  /** Fills bytes at random; for React Native, which has no `crypto`: `getRandomValues` of `expo-crypto`. */
  random?: (bytes: Uint8Array<ArrayBuffer>) => unknown;
}

/** One request. */
export interface Call {
  method: string;
  /** Below `api`, with the query. */
  path: string;
  body?: unknown;
  headers?: Record<string, string | undefined>;
  signal?: AbortSignal | undefined;
  /** Whether the service recognises a repetition; true if left out. */
  repeatable?: boolean;
  /** Milliseconds in which the answer must have come, with its body; `ANSWER` if left out. */
  time?: number;
  /** Whether to try without end. */
  endless?: boolean;
}

const ATTEMPTS = 6;
const WITHIN = 60_000; // milliseconds after the first attempt in which the last may begin
const ANSWER = 20_000; // milliseconds in which an answer must have come, with its body
const AGAIN = [408, 429, 500, 503, 504]; // 502 is Deepgram's refusal, which only an operator can change
const NOTHING_DONE = ["/problems/busy", "/problems/issuer-unavailable", "/problems/too-many-requests"];

export class Transport {
  readonly #service: Service;

  constructor(service: Service) {
    this.#service = service;
  }

  /** Returns what `read` makes of a good answer, after as many attempts as it takes; rejects with a VerbatimError. */
  send<T>(call: Call, read: (response: Response) => Promise<T>): Promise<T> {
    return this.#attempts(call, async (watch) => {
      try {
        return await read(await this.#open(call, watch.signal));
      } finally {
        watch.close();
      }
    });
  }

  /** Returns the text of a good answer as it comes, undefined for one without a body; rejects as `send` does. */
  open(call: Call): Promise<AsyncGenerator<string, void> | undefined> {
    return this.#attempts(call, async (watch) => {
      const response = await this.#open(call, watch.signal);
      if (response.status !== 204) return pieces(response, watch, call.signal);
      watch.close();
      return undefined;
    });
  }

  /** Returns 16 random bytes. */
  random(): Uint8Array {
    const bytes = new Uint8Array(16);
    (this.#service.random ?? crypto.getRandomValues.bind(crypto))(bytes);
    return bytes;
  }

  async #attempts<T>(call: Call, attempt: (watch: Watch) => Promise<T>): Promise<T> {
    const begun = performance.now();
    for (let failed = 1, renewed = false; ; failed += 1) {
      const watch = new Watch(call.time ?? ANSWER, call.signal);
      let error: VerbatimError;
      try {
        return await attempt(watch);
      } catch (caught) {
        watch.close();
        error = failure(caught, call.signal);
      }
      const status = statusOf(error);
      let pause = 0;
      if (status === 401 && !renewed) {
        renewed = true;
      } else {
        pause = this.#pauseAfter(error, failed);
        const late = failed >= ATTEMPTS || performance.now() - begun + pause > WITHIN;
        if ((late && !call.endless) || !mayRepeat(error, call.repeatable ?? true)) throw error;
      }
      await sleep(pause, call.signal);
    }
  }

  /** Returns the milliseconds to wait after the failure of this number, from 1: what the service asks for, and a jitter. */
  #pauseAfter(error: VerbatimError, failed: number): number {
    const asked = error instanceof ProblemError || error instanceof UnexpectedResponse ? error.retryAfter : undefined;
    const [first = 0, second = 0] = this.random();
    const jitter = (256 * first + second) / 65_536;
    return 1000 * (asked ?? 0) + jitter * Math.min(30_000, 500 * 2 ** Math.min(failed - 1, 10));
  }

  /** Returns a good answer, whose body may still be under way; rejects with a refusal or what `fetch` threw. */
  async #open(call: Call, signal: AbortSignal): Promise<Response> {
    const { api, token } = this.#service;
    const headers: Record<string, string> = { accept: "application/json" };
    for (const [name, value] of Object.entries(call.headers ?? {})) if (value !== undefined) headers[name] = value;
    if (token) headers["authorization"] = `Bearer ${await token()}`;
    const init: RequestInit = { method: call.method, headers, signal };
    if (call.body !== undefined) {
      headers["content-type"] = "application/json";
      init.body = JSON.stringify(call.body);
    }
    const response = await (this.#service.fetch ?? fetch)(api + call.path, init);
    if (!response.ok) throw await refusalOf(response);
    return response;
  }
}

/** Returns the JSON of an answer; rejects with UnexpectedResponse if it is none, as that of a hotel's network. */
export async function json<T>(response: Response): Promise<T> {
  if (!/[/+]json\b/.test(response.headers.get("content-type") ?? "")) throw new UnexpectedResponse(response.status);
  return (await response.json()) as T;
}

/** Yields the text of a body as it comes; throws a TransportError if it is cut off, or stops for the time of `watch`. */
async function* pieces(response: Response, watch: Watch, signal?: AbortSignal): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  try {
    if (!response.body) throw new TypeError("This fetch gives no streams: pass one that does.");
    const reader = response.body.getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      watch.stay();
      yield decoder.decode(next.value, { stream: true });
    }
  } catch (caught) {
    throw failure(caught, signal);
  } finally {
    watch.close();
  }
}

/** Returns what `caught` means to the caller; throws the reason of `signal` if the caller has ended the call. */
function failure(caught: unknown, signal?: AbortSignal): VerbatimError {
  if (signal?.aborted) throw signal.reason;
  return caught instanceof VerbatimError ? caught : new TransportError(caught);
}

function mayRepeat(error: VerbatimError, repeatable: boolean): boolean {
  if (error instanceof ProblemError) {
    const { status, type } = error.problem;
    return AGAIN.includes(status) && (repeatable || NOTHING_DONE.includes(type));
  }
  const status = statusOf(error);
  return repeatable && (status === undefined || status >= 500 || AGAIN.includes(status));
}

function statusOf(error: VerbatimError): number | undefined {
  if (error instanceof ProblemError) return error.problem.status;
  return error instanceof UnexpectedResponse ? error.status : undefined;
}

async function refusalOf(response: Response): Promise<VerbatimError> {
  const asked = Number(response.headers.get("retry-after") ?? undefined);
  const retryAfter = asked >= 0 ? asked : undefined; // also not a date, which the service never sends
  if (!response.headers.get("content-type")?.startsWith("application/problem+json")) {
    return new UnexpectedResponse(response.status, retryAfter);
  }
  return new ProblemError((await response.json()) as Problem, retryAfter);
}
