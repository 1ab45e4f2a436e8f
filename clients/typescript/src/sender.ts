/**
 * Sends the events of one session until they are on record.
 *
 * One loop sends, in the order of the numbers, one request at a time. It begins the session, sends batches, and once the
 * app has ended the session and nothing is left, the end. A request whose outcome is unknown is sent again with the same
 * bytes. An event that the service cannot take now stays in the queue while later ones go on; its turn comes again after
 * a pause. Only a problem document of the service about one event refuses that event. So a batch that is refused as a
 * whole is sent in halves, until the refused request holds one event.
 */
import { type Answer, attempt, type Fetch, isProblem, isRetryable, type Json } from "./attempt.js";
import type { Clock } from "./clock.js";
import { ProblemError, VerbatimError } from "./errors.js";
import type { Queue } from "./queue.js";
import { fraction, type Random } from "./random.js";
import { Signal } from "./signal.js";
import type { Row } from "./store.js";
import type { Problem, Receipt, VoiceSessionResponse } from "./types.js";

/** What a sender works with. */
export interface Line {
  api: string;
  token: (renew: boolean) => string | Promise<string>;
  fetch: Fetch;
  random: Random;
  clock: Clock;
  queue: Queue;
  session: string;
  /** Something has changed. */
  changed(): void;
  /** The session has its receipt, or the phone was closed. */
  left(): void;
}

interface Waiting {
  resolve(receipt: Receipt): void;
  reject(error: Error): void;
}

interface Result {
  status: number;
  problem?: unknown;
}

const FIRST_PAUSE = 500; // milliseconds at most, doubled with each failure
const LONGEST_PAUSE = 30_000; // milliseconds
const LONGEST_WAIT = 600; // seconds that a Retry-After may ask for
const HALF_OPEN = 2_000; // milliseconds after which `wake` gives up a request that is under way
const BATCH = 100; // events

export class Sender {
  isOnline = true;
  problem: Problem | undefined;
  inFlight = 0;
  isClosed = false;
  readonly #line: Line;
  readonly #work = new Signal();
  readonly #wakes = new Signal();
  readonly #underWay = new Map<AbortController, number>();
  readonly #waiting: Waiting[] = [];
  #beginning: Promise<VoiceSessionResponse> | undefined;
  #isBegun = false;
  #hasReceipt = false;
  #told = 0; // how many events were given up, as the service knows
  #most = BATCH;
  // The events up to this number wait for their next turn, which comes at a time of the monotonic clock.
  #passed = 0;
  #nextTurn = 0;
  #turns = 0;

  constructor(line: Line) {
    this.#line = line;
  }

  /** Sends until the phone is closed. A `fresh` session has nothing in the storage yet. */
  async run(fresh: boolean): Promise<void> {
    try {
      for (let failures = 0; !(await this.#line.queue.open(fresh)); ) await this.pause((failures += 1));
      for (let failures = 0; !this.isClosed; ) {
        const seen = this.#work.count;
        const rows = await this.#line.queue.batch(this.#passed, this.#most).catch(() => undefined);
        failures = rows ? 0 : failures + 1;
        if (!rows) await this.pause(failures);
        else await this.#step(rows, seen);
      }
    } catch (error) {
      if (!this.isClosed) throw error;
    }
  }

  /** Begins the session, once the service can be reached; rejects with a ProblemError if it refuses. */
  begin(): Promise<VoiceSessionResponse> {
    return (this.#beginning ??= this.#begin().finally(() => (this.#beginning = undefined)));
  }

  /** Resolves with the receipt of the session, whose end is in the queue. */
  receipt(): Promise<Receipt> {
    this.#hasReceipt = false;
    if (this.isClosed) return Promise.reject(this.#closed());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.look();
    });
  }

  /** Looks for work. */
  look(): void {
    this.#work.happen();
  }

  /** Ends every pause, and gives up requests that have waited for 2 seconds: the network is another one now. */
  wake(): void {
    this.#nextTurn = 0;
    this.#wakes.happen();
    this.look();
    for (const [controller, since] of this.#underWay) if (performance.now() - since > HALF_OPEN) controller.abort();
  }

  close(): void {
    this.isClosed = true;
    this.#line.left();
    for (const controller of this.#underWay.keys()) controller.abort();
    this.wake();
    this.#fail(this.#closed());
  }

  /** Resolves after a pause that grows with the failures in a row, or when `wake` is called; rejects once closed. */
  async pause(failures: number, wait = 0, seen: number = this.#wakes.count): Promise<void> {
    if (!this.isClosed) await this.#wakes.after(seen, 1_000 * Math.min(wait, LONGEST_WAIT) + this.#backoff(failures));
    if (this.isClosed) throw this.#closed();
  }

  async #step(rows: Row[], seen: number): Promise<void> {
    const { queue } = this.#line;
    if (rows.length > 0) {
      if (await this.#ensureBegun()) await this.#send(rows);
    } else if (this.#passed > 0) {
      const left = this.#nextTurn - performance.now();
      if (left > 0) await this.#work.after(seen, left);
      else this.#passed = 0;
    } else {
      this.#turns = 0;
      const isUntold = !this.#hasReceipt || queue.givenUp.size > this.#told;
      const isEnding = queue.head.ended !== undefined && queue.size === 0 && isUntold;
      // What waits for a storage that does not answer may be sent after some seconds.
      if (!isEnding) await this.#work.after(seen, queue.size > 0 ? 1_000 : undefined);
      else if (await this.#ensureBegun()) await this.#end();
    }
  }

  async #ensureBegun(): Promise<boolean> {
    if (this.#isBegun) return true;
    try {
      await this.begin();
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      this.#fail(error);
      await this.#refused(error.problem);
    }
    return this.#isBegun;
  }

  async #begin(): Promise<VoiceSessionResponse> {
    const { session, queue } = this.#line;
    const body = JSON.stringify({ id: session, conversation_id: queue.head.conversation });
    const answer = await this.#ask("", body, (json) => isBegun(json, session));
    const begun = answer.kind === "good" ? answer.json : sessionIn(answer);
    if (!isBegun(begun, session)) throw new ProblemError(answer.problem!);
    this.#isBegun = true;
    queue.skipTo(begun.next_client_sequence);
    return begun;
  }

  async #send(rows: Row[]): Promise<void> {
    const { queue } = this.#line;
    const body = `{"events":[${rows.map(({ text }) => text).join()}]}`;
    this.inFlight = rows.length;
    this.#hasReceipt = false;
    this.#line.changed();
    const answer = await this.#ask(`/${this.#line.session}/events`, body, (json) => hasResults(json, rows.length));
    this.inFlight = 0;
    if (answer.kind === "good") {
      this.#most = Math.min(BATCH, 2 * this.#most);
      await this.#settle(rows, answer.json!["results"] as Result[]);
    } else if (answer.kind === "large" || answer.problem?.status === 422) {
      if (rows.length > 1) this.#most = Math.ceil(rows.length / 2);
      else if (answer.problem) queue.refuse({ ...rows[0]!, problem: answer.problem });
      else this.#pass(rows);
    } else await this.#refused(answer.problem!);
    this.#line.changed();
  }

  async #settle(rows: Row[], results: Result[]): Promise<void> {
    const { queue } = this.#line;
    const recorded: number[] = [];
    let isAnyKept = false;
    for (const [place, row] of rows.entries()) {
      const { status, problem } = results[place]!;
      if (status < 300) recorded.push(row.number);
      else if (!isProblem(problem) || isRetryable(status)) isAnyKept = true;
      else if (status === 410) return this.#refused(problem);
      else queue.refuse({ ...row, problem });
    }
    queue.recorded(recorded);
    if (isAnyKept) this.#pass(rows);
  }

  /** Goes on after these rows, and comes back to those that are left after a pause. */
  #pass(rows: Row[]): void {
    if (this.#passed === 0) this.#nextTurn = performance.now() + this.#backoff((this.#turns += 1));
    this.#passed = rows[rows.length - 1]!.number;
  }

  /** Ends the session, and gives its receipt to those who wait, unless more was heard or given up meanwhile. */
  async #end(): Promise<void> {
    const { queue, session } = this.#line;
    const lost = queue.givenUp.size;
    const facts = { reason: queue.head.ended, last_client_sequence: queue.head.last, client_lost: lost };
    let answer = await this.#ask(`/${session}/end`, JSON.stringify(facts), isReceipt);
    // It has ended with other facts, as those of another device; what this phone gave up must still count.
    if (answer.problem?.type === "/problems/voice-session-ended") {
      answer = await this.#ask(`/${session}/end`, JSON.stringify({ client_lost: lost }), isReceipt);
    }
    if (answer.kind !== "good") {
      if (answer.problem!.status === 422) queue.withdrawEnd();
      this.#fail(new ProblemError(answer.problem!));
      return this.#refused(answer.problem!);
    }
    this.#told = lost;
    if (queue.size > 0 || queue.givenUp.size > lost) return;
    this.#hasReceipt = true;
    for (const { resolve } of this.#waiting.splice(0)) resolve(answer.json as unknown as Receipt);
    this.leaveIfDone();
  }

  /** Forgets the session once it has its receipt, and the app has taken what was refused. */
  leaveIfDone(): void {
    const { queue } = this.#line;
    if (!this.#hasReceipt || queue.size + queue.refused.length > 0) return;
    queue.leave();
    this.#line.left();
  }

  /** The service refuses the session as a whole: it may be begun again, or was erased; else only people can help. */
  async #refused(problem: Problem): Promise<void> {
    this.problem = problem;
    this.#isBegun = false;
    if (problem.status === 410) {
      this.#line.queue.leave();
      this.close();
    }
    this.#line.changed();
    await this.pause((this.#turns += 1));
  }

  /** Sends a request until its answer is final: good, refused, or too large. */
  async #ask(path: string, body: string, isMine: (json: Json | undefined) => boolean): Promise<Answer> {
    for (let failures = 0, renew = false; ; ) {
      const seen = this.#wakes.count;
      const answer = await this.#attempt(path, body, renew);
      if (this.isClosed) throw this.#closed();
      const isGood = answer.kind === "good" && isMine(answer.json);
      this.isOnline = isGood || answer.problem !== undefined;
      if (isGood) {
        this.problem = undefined;
        this.#line.clock.correct(answer.date);
      }
      this.#line.changed();
      const isTooLarge = answer.kind === "large" && path.endsWith("/events"); // only these can be made smaller
      if (isGood || isTooLarge || answer.kind === "refused" || sessionIn(answer)) return answer;
      const wasRenewed = renew;
      renew = answer.kind === "unauthorized";
      if (wasRenewed || !renew) await this.pause((failures += 1), answer.wait, seen);
    }
  }

  async #attempt(path: string, body: string, renew: boolean): Promise<Answer> {
    const { api, fetch, token } = this.#line;
    const controller = new AbortController();
    this.#underWay.set(controller, performance.now());
    const answer = await attempt(fetch, `${api}/voice/sessions${path}`, () => token(renew), body, controller);
    this.#underWay.delete(controller);
    return answer;
  }

  #backoff(failures: number): number {
    return fraction(this.#line.random) * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1));
  }

  #closed(): Error {
    return this.problem?.status === 410 ? new ProblemError(this.problem) : new VerbatimError("The phone was closed.");
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}

/** Returns the session of a problem that says that Deepgram gave no token for it. */
function sessionIn({ problem }: Answer): unknown {
  return (problem as Json | undefined)?.["session"];
}

function isBegun(json: unknown, session: string): json is VoiceSessionResponse {
  const begun = (json ?? {}) as Partial<VoiceSessionResponse>;
  return begun.id === session && typeof begun.next_client_sequence === "number";
}

function hasResults(json: Json | undefined, count: number): boolean {
  const results = json?.["results"] as Result[] | undefined;
  return Array.isArray(results) && results.length === count && results.every((each) => each?.status > 0);
}

function isReceipt(json: Json | undefined): boolean {
  return typeof json?.["complete"] === "boolean" && Array.isArray(json["missing"]);
}
