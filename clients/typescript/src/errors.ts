/**
 * The errors that a call may reject with.
 *
 *     VerbatimError
 *     ├── ProblemError         the service refused the request; `problem` says why
 *     ├── UnexpectedResponse   the answer is not one of the service: a proxy or another program sent it
 *     └── TransportError       no answer came, or only a part of it; `cause` says why
 *
 * No message of an error quotes what a person said.
 */
import type { Problem } from "./types.js";

type Named<P> = P extends { type: `/problems/${infer Name}` } ? Name : never;

/** The last part of a problem's `type`, as `conversation-not-found`. */
export type Slug = Named<Problem>;

/** The base of the errors of this package. */
export class VerbatimError extends Error {}

/** The service refused a request, with a problem document (RFC 9457). */
export class ProblemError extends VerbatimError {
  readonly problem: Problem;
  /** The seconds that the service asks the client to wait, undefined if it asks for none. */
  readonly retryAfter: number | undefined;

  constructor(problem: Problem, retryAfter?: number) {
    super(`${problem.detail} (${problem.type}, status ${problem.status}, request ${problem.request_id})`);
    this.problem = problem;
    this.retryAfter = retryAfter;
  }

  /** Whether the problem is of this kind; then its other members are known to the compiler, too. */
  is<S extends Slug>(slug: S): this is ProblemError & { problem: Extract<Problem, { type: `/problems/${S}` }> } {
    return this.problem.type === `/problems/${slug}`;
  }
}

/** The answer is not one of the service: check the address, and the proxies before it. */
export class UnexpectedResponse extends VerbatimError {
  readonly status: number;
  readonly retryAfter: number | undefined;

  constructor(status: number, retryAfter?: number) {
    super(`The answer (status ${status}) is not one of Verbatim: check the address, and the proxies before it.`);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** No answer came, or only a part of it. Whether the service has carried the request out is unknown. */
export class TransportError extends VerbatimError {
  constructor(cause: unknown) {
    super("No answer came from the service.", { cause });
  }
}
