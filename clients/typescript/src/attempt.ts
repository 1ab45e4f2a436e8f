/**
 * One request to the service, and what its answer means.
 *
 * Between a phone and the service are proxies, load balancers and the networks of hotels, and each may answer in the
 * service's place. So an answer is final only if it has the service's form: JSON for a good one, a problem document of the
 * service for a refusal. Any other answer says as little as none, and the same bytes are sent again.
 */
import type { Problem } from "./types.js";

/** What the package needs of `fetch`: that of browsers, Node and React Native has it, and `expo/fetch`. */
export type Fetch = (url: string, init: FetchInit) => Promise<FetchAnswer>;

export interface FetchInit {
  method: string;
  headers: Record<string, string>;
  body: string;
  signal: AbortSignal;
}

export interface FetchAnswer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  text(): Promise<string>;
}

export type Json = Record<string, unknown>;

/** What an answer means. */
export interface Answer {
  /** `again` is also that of no answer. */
  kind: "good" | "refused" | "too large" | "unauthorized" | "again";
  json: Json | undefined;
  problem: Problem | undefined;
  /** When the service answered, by its clock. */
  date: string | null;
  /** The seconds that the service or a proxy asks the client to wait. */
  wait: number;
}

const PATIENCE = 20_000; // milliseconds in which the whole answer must have come
const RETRYABLE = [401, 408, 425, 429]; // and every status of 500 or above

/** Tells whether the same request may succeed later. */
export function isRetryable(status: number): boolean {
  return status >= 500 || RETRYABLE.includes(status);
}

/** Sends a request, and returns what its answer means; never rejects. The controller gives the request up. */
export async function attempt(
  fetch: Fetch,
  url: string,
  token: () => string | Promise<string>,
  body: string,
  controller: AbortController,
): Promise<Answer> {
  // Not every fetch ends when its signal aborts, and the app's token may never come.
  const givenUp = new Promise<never>((_, reject) => controller.signal.addEventListener("abort", () => reject()));
  const timer = setTimeout(() => controller.abort(), PATIENCE);
  const send = async () => {
    const bearer = await token();
    const headers = { "content-type": "application/json", ...(bearer && { authorization: `Bearer ${bearer}` }) };
    const answer = await fetch(url, { method: "POST", headers, body, signal: controller.signal });
    return meaning(answer, await answer.text());
  };
  try {
    return await Promise.race([send(), givenUp]);
  } catch {
    return { kind: "again", json: undefined, problem: undefined, date: null, wait: 0 };
  } finally {
    clearTimeout(timer);
  }
}

function meaning({ status, headers }: FetchAnswer, text: string): Answer {
  const json = parsed(text);
  const problem = isProblem(json) ? json : undefined;
  const wait = Number(headers.get("retry-after")) || 0; // a date is none; the service sends seconds
  return { kind: kindOf(status, json, problem), json, problem, date: headers.get("date"), wait };
}

function kindOf(status: number, json: Json | undefined, problem: Problem | undefined): Answer["kind"] {
  if (status === 401) return "unauthorized";
  if (status === 413) return "too large";
  if (json && status >= 200 && status < 300) return "good";
  return problem && !isRetryable(status) ? "refused" : "again";
}

function parsed(text: string): Json | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === "object" && json !== null ? (json as Json) : undefined;
  } catch {
    return undefined;
  }
}

/** Tells whether a document is a problem of the service, which names the request; those of proxies do not. */
export function isProblem(json: unknown): json is Problem {
  const { type, request_id } = (json ?? {}) as { type?: unknown; request_id?: unknown };
  return typeof type === "string" && type.startsWith("/problems/") && typeof request_id === "string";
}
