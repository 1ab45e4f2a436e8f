/**
 * Sends requests by the four rules for senders (docs/guarantees.md).
 *
 * A time-out, a cut connection, 408, 429 and a 5xx leave the outcome unknown, or say that nothing was done. The same
 * bytes with the same ids are then sent again, because the service recognises a repetition. After 401 they are sent once
 * more, at once, with a new token. Any other refusal is final. A request whose repetition the service would not recognise
 * is repeated only if the service has certainly not carried it out.
 */
import { type FetchAnswer, type FetchInit, isProblem, isRetryable } from "./attempt.js";
import { ProblemError, TransportError, UnexpectedResponse, VerbatimError } from "./errors.js";
import { fraction, platformRandom, type Random } from "./random.js";
import { reasonOf, sleep, Watch } from "./watch.js";

/** An answer whose body can be read while it comes, where `fetch` can do that. */
export interface StreamingAnswer extends FetchAnswer {
  readonly body?: ReadableStream<Uint8Array> | null;
}

/** What a client needs of `fetch`: that of browsers and Node, and `expo/fetch`; React Native's own gives no `body`. */
export type StreamingFetch = (url: string, init: Partial<FetchInit>) => Promise<StreamingAnswer>;

/** How to reach the service. */
export interface Service {
  /** The address of the API, as `https://record.example/api/v1`. */
  api: string;
  /**
   * Returns the token, and is called before each attempt; `renew` is true if the service has just refused the one
   * before. Left out, or empty, for a service in local mode.
   */
  token?: (renew: boolean) => string | Promise<string>;
  /** By default the global `fetch`; for React Native that of `expo/fetch`, to follow a conversation without polling. */
  fetch?: StreamingFetch;
  /** By default `crypto.getRandomValues`; React Native has none, and takes that of expo-crypto. */
  random?: Random;
  /**
   * What a read sees if the service has a replica, which may be behind: every commit (`strong`, if left out), all up to
   * this client's last write (`session`), or what the replica has (`eventual`).
   */
  consistency?: "strong" | "session" | "eventual";
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
  /** How many times to try; `ATTEMPTS` if left out. */
  attempts?: number | undefined;
  /** Whether to try without end. */
  endless?: boolean;
}

const ATTEMPTS = 6;
const WITHIN = 60_000; // milliseconds after the first attempt in which the last may begin
const ANSWER = 20_000; // milliseconds in which an answer must have come, with its body
const POSITION = "verbatim-position";
const FINAL = [401, 502]; // after a new token; the refusal of Deepgram, which only an operator can change
const AS_SLOW_AGAIN = "/problems/search-too-slow";
const NOTHING_DONE = ["/problems/busy", "/problems/issuer-unavailable", "/problems/too-many-requests"];

export class Transport {
  readonly random: Random;
  readonly #service: Service;
  #position = ""; // of this client's writes; of two, the one that is greater as text covers both

  constructor(service: Service) {
    this.#service = service;
    this.random = service.random ?? platformRandom();
  }

  /** Returns what `read` makes of a good answer, after as many attempts as it takes; rejects with a VerbatimError. */
  send<T>(call: Call, read: (answer: StreamingAnswer) => Promise<T>): Promise<T> {
    return this.#attempts(call, async (watch, renew) => {
      try {
        return await read(await this.#open(call, renew, watch.signal));
      } finally {
        watch.close();
      }
    });
  }

  /** Returns the text of a good answer as it comes, undefined for one without a body; rejects as `send` does. */
  open(call: Call): Promise<AsyncGenerator<string, void> | undefined> {
    return this.#attempts(call, async (watch, renew) => {
      const answer = await this.#open(call, renew, watch.signal);
      if (answer.status !== 204) return pieces(answer, watch, call.signal);
      watch.close();
      return undefined;
    });
  }

  async #attempts<T>(call: Call, attempt: (watch: Watch, renew: boolean) => Promise<T>): Promise<T> {
    const begun = performance.now();
    for (let failed = 1, renew = false, renewed = false; ; failed += 1) {
      const watch = new Watch(call.time ?? ANSWER, call.signal);
      let error: VerbatimError;
      try {
        // Not every fetch ends when its signal aborts, and the app's token may never come.
        return await Promise.race([attempt(watch, renew), watch.over]);
      } catch (caught) {
        watch.close();
        error = failure(caught, call.signal);
      }
      renew = statusOf(error) === 401 && !renewed;
      renewed ||= renew;
      const pause = renew ? 0 : this.#pauseAfter(error, failed);
      const late = failed >= (call.attempts ?? ATTEMPTS) || performance.now() - begun + pause > WITHIN;
      if (!renew && ((late && !call.endless) || !mayRepeat(error, call.repeatable ?? true))) throw error;
      await sleep(pause, call.signal);
    }
  }

  /** Returns the milliseconds to wait after so many failures: what the service asks for, and a jitter. */
  #pauseAfter(error: VerbatimError, failed: number): number {
    const asked = error instanceof ProblemError || error instanceof UnexpectedResponse ? error.retryAfter : undefined;
    return 1000 * (asked ?? 0) + fraction(this.random) * Math.min(30_000, 500 * 2 ** Math.min(failed - 1, 10));
  }

  /** Returns a good answer, whose body may still be under way; rejects with a refusal or what `fetch` threw. */
  async #open(call: Call, renew: boolean, signal: AbortSignal): Promise<StreamingAnswer> {
    const { api, token, fetch = globalThis.fetch as StreamingFetch } = this.#service;
    const headers: Record<string, string> = { accept: "application/json", ...this.#freshness(call.method) };
    for (const [name, value] of Object.entries(call.headers ?? {})) if (value !== undefined) headers[name] = value;
    const held = await token?.(renew);
    if (held) headers["authorization"] = `Bearer ${held}`;
    const init: Partial<FetchInit> = { method: call.method, headers, signal };
    if (call.body !== undefined) {
      headers["content-type"] = "application/json";
      init.body = JSON.stringify(call.body);
    }
    const answer = await fetch(api + call.path, init);
    if (answer.status < 200 || answer.status >= 300) throw await refusalOf(answer);
    const position = answer.headers.get(POSITION) ?? "";
    // No position covers a write that has none, so the next read must see every commit.
    if (call.method !== "GET" && (!position || position > this.#position)) this.#position = position;
    return answer;
  }

  /** Returns the header that lets a replica answer, if one may. */
  #freshness(method: string): Record<string, string> {
    const { consistency } = this.#service;
    if (method !== "GET") return {};
    if (consistency === "eventual") return { prefer: "consistency=eventual" };
    return consistency === "session" && this.#position ? { [POSITION]: this.#position } : {};
  }
}

/** Returns the JSON of an answer; rejects with UnexpectedResponse if it is none, as that of a hotel's network. */
export async function json<T>(answer: FetchAnswer): Promise<T> {
  try {
    return JSON.parse(await answer.text()) as T;
  } catch (caught) {
    throw caught instanceof SyntaxError ? new UnexpectedResponse(answer.status) : caught;
  }
}

/** Yields the text of a body as it comes; throws a TransportError if it is cut off, or is still for too long. */
async function* pieces(answer: StreamingAnswer, watch: Watch, signal?: AbortSignal): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  try {
    if (!answer.body) throw new TypeError("This fetch gives no streams: pass one that does.");
    const reader = answer.body.getReader();
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), watch.over]);
      if (done) return;
      watch.stay();
      yield decoder.decode(value, { stream: true });
    }
  } catch (caught) {
    throw failure(caught, signal);
  } finally {
    watch.close();
  }
}

/** Returns what `caught` means to the caller; throws the reason of `signal` if the caller has ended the call. */
function failure(caught: unknown, signal?: AbortSignal): VerbatimError {
  if (signal?.aborted) throw reasonOf(signal);
  return caught instanceof VerbatimError ? caught : new TransportError(caught);
}

function mayRepeat(error: VerbatimError, repeatable: boolean): boolean {
  const status = statusOf(error);
  const isProblem = error instanceof ProblemError;
  if (isProblem && error.problem.type === AS_SLOW_AGAIN) return false;
  if (status !== undefined && (!isRetryable(status) || (isProblem && FINAL.includes(status)))) return false;
  return repeatable || (isProblem && NOTHING_DONE.includes(error.problem.type));
}

function statusOf(error: VerbatimError): number | undefined {
  if (error instanceof ProblemError) return error.problem.status;
  return error instanceof UnexpectedResponse ? error.status : undefined;
}

async function refusalOf(answer: FetchAnswer): Promise<VerbatimError> {
  const asked = Number(answer.headers.get("retry-after") ?? undefined);
  const retryAfter = asked >= 0 ? asked : undefined; // also not a date, which the service never sends
  const problem = await json<unknown>(answer).catch(() => undefined);
  return isProblem(problem) ? new ProblemError(problem, retryAfter) : new UnexpectedResponse(answer.status, retryAfter);
}
