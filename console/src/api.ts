/**
 * The service's API, by the client package: typed operations, repetition of what failed, streams that resume.
 *
 * The page adds three things. It sees whether the service answers at all (`connection`), it remembers when it last
 * answered, and it asks for a token where one is missing or was refused.
 */
import { signal } from "@preact/signals";
import { ProblemError, TransportError, UnexpectedResponse } from "../../clients/typescript/src/errors.ts";
import type { StreamingAnswer } from "../../clients/typescript/src/transport.ts";
import { Verbatim } from "../../clients/typescript/src/verbatim.ts";
import { askForToken, currentToken, ready } from "./session.ts";

export { ProblemError, TransportError, UnexpectedResponse, Verbatim };

/** How the service answers: `offline` is no answer, `failing` an answer that says that it cannot now. */
export const connection = signal<"online" | "offline" | "failing">("online");

/** Relative to the page, so that the console works below any path of a proxy. */
const API = new URL("../api/v1", document.baseURI).href;

export const api = new Verbatim({ api: API, token: currentToken, fetch: watched });

/** The address of the service, as a reader would type it. */
export const ADDRESS = new URL("..", document.baseURI).href.replace(/\/$/, "");

/** Returns what `call` returns; after a 401 it opens the sign-in, waits, and calls again. */
export async function ask<T>(call: (api: Verbatim) => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (;;) {
    await ready();
    signal?.throwIfAborted();
    try {
      return await call(api);
    } catch (error) {
      if (!isUnauthorized(error)) throw error;
      await askForToken();
    }
  }
}

export function isUnauthorized(error: unknown): boolean {
  return error instanceof ProblemError && error.problem.status === 401;
}

/** Whether the service may answer the same request later. What took too long would take as long again. */
export function isPassing(error: unknown): boolean {
  if (isAsSlowAgain(error)) return false;
  if (error instanceof ProblemError) return error.problem.status >= 500 || error.problem.status === 429;
  return error instanceof TransportError || (error instanceof UnexpectedResponse && error.status >= 500);
}

function isAsSlowAgain(error: unknown): boolean {
  return error instanceof ProblemError && (error.is("too-slow") || error.is("search-too-slow"));
}

async function watched(url: string, init: RequestInit): Promise<StreamingAnswer> {
  try {
    const answer = await fetch(url, { ...init, cache: "no-store", credentials: "omit", redirect: "error" });
    connection.value = answer.status >= 500 && !isOfThisRequest(answer) ? "failing" : "online";
    return answer;
  } catch (error) {
    if (!init.signal?.aborted) connection.value = "offline";
    throw error;
  }
}

/** Whether a 5xx says nothing of other requests: the service itself sent it, and names no time after which it can answer. */
function isOfThisRequest({ headers }: Response): boolean {
  return headers.get("content-type") === "application/problem+json" && !headers.has("retry-after");
}
