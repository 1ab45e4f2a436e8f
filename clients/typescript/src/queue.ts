/**
 * The events of one session that are not on record yet.
 *
 * An event is numbered and timed in `add`, and written to the storage in a row of its own before it is sent. Memory has
 * only the size of each row; the text is read when it is sent. While the storage fails, the texts stay in memory, and are
 * sent from there: the record is the safer place. One loop writes, so nothing overtakes: first the head, whose `last`
 * keeps numbers from being used twice, then new rows, then removals.
 *
 * What is given up is a row too, under a name of its own. So the count of it is exact however often the app is killed: an
 * event that is refused again has the same number. Once the session has ended, and everything is settled, its rows and its
 * head are removed.
 */
import type { Clock } from "./clock.js";
import { type Random, uuid } from "./random.js";
import type { Head, Row, Store } from "./store.js";
import type { Problem } from "./types.js";

/** An event that the service has refused for good. */
export interface Refused extends Row {
  /** Why, and what to do. */
  problem: Problem;
}

/** What happens in the queue. */
export interface Events {
  /** Something has changed. */
  changed(): void;
  /** An event was lost, perhaps with what it said. */
  lost(frame: string | undefined): void;
  /** Resolves when the storage, which has failed so many times in a row, is to be tried again; rejects if never. */
  pause(failures: number): Promise<void>;
}

interface Entry {
  bytes: number;
  /** When it was heard, by the monotonic clock. */
  since: number;
  /** Until the storage has it. */
  text: string | undefined;
}

const MOST_BYTES = 64 * 2 ** 20; // of rows; then the newest events are lost
const MOST_AGE = 30 * 24 * 3_600_000; // milliseconds of the oldest row; the same
const EARLIEST = Date.UTC(2000); // a clock that shows an earlier time was never set
const BATCH_BYTES = 256 * 2 ** 10;
const PATIENCE = 5_000; // milliseconds in which the storage must answer; then its events are sent from memory
const PAGE = 100; // rows that are read from the storage at once
const GIVEN_UP = "/given-up";

export class Queue {
  readonly head: Head;
  /** What was given up, by its number. */
  readonly givenUp: Map<number, Refused | "lost" | "taken"> = new Map();
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #events: Events;
  readonly #entries = new Map<number, Entry>();
  #heard: { frame: string; time: number }[] = []; // before the storage was read
  #isRead = false;
  #bytes = 0;
  // What the storage lacks, or has too much.
  #hasHead = false;
  #isHeadNew = false;
  readonly #unwritten = new Set<number>();
  readonly #ungiven = new Set<number>();
  readonly #removable = new Set<number>();
  #isLeaving = false;
  #writing: Promise<void> | undefined;
  #isFailing = false;
  #top = 0; // the highest number of the rows in the storage
  #isElsewhere = false; // another tab has the session

  constructor(store: Store, head: Head, clock: Clock, random: Random, events: Events) {
    this.#store = store;
    this.#clock = clock;
    this.#random = random;
    this.#events = events;
    this.head = head;
  }

  get size(): number {
    return this.#entries.size + this.#heard.length;
  }

  /** How many events are not in the storage. */
  get unwritten(): number {
    return this.#unwritten.size + this.#heard.length;
  }

  /** The milliseconds since the oldest event was heard, 0 if there is none. */
  get age(): number {
    for (const { since } of this.#entries.values()) return performance.now() - since;
    return 0;
  }

  /** The events that were refused, until they are taken. */
  get refused(): Refused[] {
    return [...this.givenUp.values()].filter((each) => typeof each === "object");
  }

  /** How many events were given up without an answer of the service. */
  get lost(): number {
    return [...this.givenUp.values()].filter((each) => each === "lost").length;
  }

  /** Reads what the storage has of the session, and returns false if it fails; a `fresh` session has nothing. */
  async open(fresh: boolean): Promise<boolean> {
    const claim = this.#store.claim?.(this.head.session);
    claim?.catch(() => undefined); // a fresh session does not wait for it
    const read = async () => {
      // The rows of two tabs would replace each other under the same numbers. So this one sends from memory.
      if ((await claim) === false) this.#isElsewhere = this.#isFailing = true;
      else await this.#read();
    };
    if (!fresh && !(await this.#try(read))) return false;
    this.#isRead = true;
    for (const { frame, time } of this.#heard.splice(0)) this.#number(frame, Math.max(time, this.head.time + 1));
    this.#clock.pass(this.head.time);
    this.#write();
    return true;
  }

  /** Numbers and times an event; the storage gets it soon. */
  add(frame: string): void {
    const time = this.#clock.next();
    if (this.#isRead) this.#number(frame, time);
    else this.#heard.push({ frame, time });
    this.#write();
  }

  /** Lets the next number be `next` or above, as another device may have used those below. */
  skipTo(next: number): void {
    this.head.last = Math.max(this.head.last, next - 1);
  }

  end(reason: string): void {
    this.head.ended ??= reason;
    this.#change();
  }

  /** Forgets the reason, which the service refuses: the app may give another one. */
  withdrawEnd(): void {
    delete this.head.ended;
    this.#change();
  }

  /**
   * Returns the first rows with a number above `after` that may be sent: at most `most`, and 256 KiB unless the first one
   * alone is larger. Those in memory do not wait for a storage that cannot be read. Rejects if there are only others.
   */
  async batch(after: number, most: number): Promise<Row[]> {
    try {
      return await this.#batch(after, most, false);
    } catch (error) {
      const rows = await this.#batch(after, most, true);
      if (rows.length === 0) throw error;
      return rows;
    }
  }

  async #batch(after: number, most: number, inMemory: boolean): Promise<Row[]> {
    const wanted = new Map<number, string | undefined>();
    let bytes = 0;
    for (const [number, entry] of this.#entries) {
      if (number <= after || (inMemory && entry.text === undefined)) continue;
      bytes += entry.bytes;
      const isLate = inMemory || this.#isFailing || performance.now() - entry.since >= PATIENCE;
      const isWaiting = entry.text !== undefined && !isLate;
      if (isWaiting || wanted.size === most || (wanted.size > 0 && bytes > BATCH_BYTES)) break;
      wanted.set(number, entry.text);
    }
    await within(this.#fill(wanted));
    const rows: Row[] = [];
    for (const [number, text] of wanted) {
      if (text) rows.push({ number, text });
      else if (this.#entries.has(number)) this.#lose(number);
    }
    return rows;
  }

  /** Takes events that are on record out of the queue. */
  recorded(numbers: readonly number[]): void {
    for (const number of numbers) this.#remove(number);
    this.#change();
  }

  /** Moves an event that the service has refused out of the queue. */
  refuse(refused: Refused): void {
    this.#giveUp(refused.number, refused);
    this.#change();
  }

  /** Returns the refused events, which it then forgets; the count of them stays. */
  take(): Refused[] {
    const { refused } = this;
    for (const { number } of refused) this.#giveUp(number, "taken");
    if (refused.length > 0) this.#change();
    return refused;
  }

  /** Returns the frames that the storage never got, and forgets them, as a phone that was closed will not send them. */
  abandon(): string[] {
    const frames = [...this.#unwritten].map((number) => frameOf(this.#entries.get(number)!.text!));
    for (const number of [...this.#unwritten]) this.#remove(number);
    return [...frames, ...this.#heard.splice(0).map(({ frame }) => frame)];
  }

  /** Forgets the session, soon also in the storage. How many events were given up stays known. */
  leave(): void {
    this.#bytes = 0;
    for (const { number } of this.refused) this.givenUp.delete(number);
    for (const each of [this.#entries, this.#unwritten, this.#ungiven, this.#removable]) each.clear();
    this.#isHeadNew = false;
    this.#isLeaving = true;
    this.#events.changed();
    this.#write();
  }

  /** Resolves when nothing is being written. */
  async idle(): Promise<void> {
    await this.#writing;
  }

  async #read(): Promise<void> {
    const { session } = this.head;
    const head = (await this.#store.heads()).find((each) => each.session === session);
    this.#hasHead = head !== undefined;
    const last = Math.max(this.head.last, head?.last ?? 0); // the service may have said more
    Object.assign(this.head, head, { last });
    for await (const { number, text } of this.#all(session)) {
      const time = Date.parse(/"received_at":"([^"]+)"/.exec(text)?.[1] ?? "");
      const age = time > EARLIEST ? this.#clock.now() - time : 0;
      this.#entries.set(number, { bytes: size(text), since: performance.now() - age, text: undefined });
      this.#top = number;
      this.skipTo(number + 1);
      this.head.time = Math.max(this.head.time, time || 0); // a damaged row has no time
    }
    for await (const { number, text } of this.#all(session + GIVEN_UP)) {
      this.givenUp.set(number, text === "lost" || text === "taken" ? text : (JSON.parse(text) as Refused));
      this.skipTo(number + 1);
      if (this.#entries.delete(number)) this.#removable.add(number);
    }
    for (const { bytes } of this.#entries.values()) this.#bytes += bytes;
  }

  async *#all(session: string): AsyncGenerator<Row, void> {
    for (let after = 0; ; ) {
      const rows = await this.#store.read(session, after, PAGE);
      yield* rows;
      if (rows.length === 0) return;
      after = rows[rows.length - 1]!.number;
    }
  }

  #number(frame: string, time: number): void {
    const number = (this.head.last += 1);
    this.head.time = time;
    const text = itemOf(frame, number, time, this.#random);
    const bytes = text ? size(text) : 0;
    if (!text || this.#bytes + bytes > MOST_BYTES || this.age > MOST_AGE) return this.#lose(number, frame);
    this.#bytes += bytes;
    this.#entries.set(number, { bytes, since: performance.now(), text });
    this.#unwritten.add(number);
  }

  /** Reads the texts that are undefined. */
  async #fill(wanted: Map<number, string | undefined>): Promise<void> {
    const missing = [...wanted.keys()].filter((number) => wanted.get(number) === undefined);
    const last = missing[missing.length - 1];
    for (let after = (missing[0] ?? 0) - 1; last !== undefined && after < last; ) {
      const rows = await this.#store.read(this.head.session, after, missing.length);
      for (const { number, text } of rows) if (wanted.has(number)) wanted.set(number, text);
      after = rows[rows.length - 1]?.number ?? last;
    }
  }

  #lose(number: number, frame?: string): void {
    this.#giveUp(number, "lost");
    this.#events.lost(frame);
    this.#change();
  }

  #giveUp(number: number, fate: Refused | "lost" | "taken"): void {
    this.givenUp.set(number, fate);
    this.#ungiven.add(number);
    this.#remove(number);
  }

  #remove(number: number): void {
    this.#bytes -= this.#entries.get(number)?.bytes ?? 0;
    this.#entries.delete(number);
    this.#unwritten.delete(number);
    this.#removable.add(number);
    this.#isHeadNew = true;
  }

  #change(): void {
    this.#isHeadNew = true;
    this.#events.changed();
    this.#write();
  }

  #write(): void {
    if (this.#isRead && !this.#isElsewhere) this.#writing ??= this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    await Promise.resolve(); // lets `hear` return first
    let isLast = false; // the phone was closed while its storage failed: now or never
    for (let failures = 0; this.#isLeaving || this.#isHeadNew || this.#unsettled > 0; ) {
      const isWritten = this.#isLeaving ? await this.#try(() => this.#clear()) : await this.#writeOnce();
      failures = isWritten ? 0 : failures + 1;
      this.#isFailing = !isWritten;
      this.#events.changed();
      if (!isWritten && isLast) break;
      if (!isWritten) await this.#events.pause(failures).catch(() => (isLast = true));
    }
    this.#writing = undefined;
  }

  get #unsettled(): number {
    return this.#unwritten.size + this.#ungiven.size + this.#removable.size;
  }

  /** Writes what the storage lacks, and returns whether it took everything; a full one may still remove. */
  async #writeOnce(): Promise<boolean> {
    const { session } = this.head;
    const gone = [...this.#removable];
    const isHeadWritten = await this.#writeHead();
    if (!this.#hasHead) return false; // without it `resumeAll` does not find the rows
    const areWritten = await this.#append(session, this.#unwritten, (number) => this.#entries.get(number)!.text!);
    const areGiven = await this.#append(session + GIVEN_UP, this.#ungiven, (number) => {
      const fate = this.givenUp.get(number)!;
      return typeof fate === "string" ? fate : JSON.stringify(fate);
    });
    // Without its new head the storage keeps its last row, so that no number is used twice. It must get rid of the others
    // also then: a full one that takes no head would stay full.
    const isSettled = (number: number) => !this.#ungiven.has(number) && (isHeadWritten || number !== this.#top);
    const settled = gone.filter(isSettled);
    const areGone = settled.length === 0 || (await this.#try(() => this.#store.remove(session, settled)));
    if (areGone) for (const number of settled) this.#removable.delete(number);
    return isHeadWritten && areWritten && areGiven && areGone;
  }

  async #writeHead(): Promise<boolean> {
    if (!this.#isHeadNew && this.#hasHead) return true;
    this.#isHeadNew = false;
    const isWritten = await this.#try(() => this.#store.putHead({ ...this.head }));
    this.#hasHead ||= isWritten;
    this.#isHeadNew ||= !isWritten;
    return isWritten;
  }

  async #append(session: string, numbers: Set<number>, textOf: (number: number) => string): Promise<boolean> {
    if (this.#isLeaving) return true; // the storage is cleared first: it would lose what was heard meanwhile
    const rows = [...numbers].slice(0, PAGE).map((number) => ({ number, text: textOf(number) }));
    if (rows.length === 0) return true;
    const isWritten = await this.#try(() => this.#store.append(session, rows));
    if (isWritten && numbers === this.#unwritten) this.#top = rows[rows.length - 1]!.number;
    for (const { number, text } of isWritten ? rows : []) {
      if (numbers.has(number) && textOf(number) === text) numbers.delete(number);
      const entry = this.#entries.get(number);
      if (entry?.text === text) entry.text = undefined;
    }
    return isWritten;
  }

  async #clear(): Promise<void> {
    const { session } = this.head;
    for (const name of [session, session + GIVEN_UP]) {
      for (let rows; (rows = await this.#store.read(name, 0, PAGE)).length > 0; ) {
        await this.#store.remove(name, rows.map(({ number }) => number));
      }
    }
    await this.#store.removeHead(session);
    this.#isLeaving = false;
    this.#hasHead = false;
    this.#isHeadNew = false; // what was heard meanwhile brings its own
  }

  async #try(write: () => Promise<void>): Promise<boolean> {
    try {
      await write();
      return true;
    } catch {
      return false;
    }
  }
}

/** Returns the item of a request, with the frame as it is; undefined if the frame is not JSON. Never throws. */
function itemOf(frame: string, number: number, time: number, random: Random): string | undefined {
  try {
    JSON.parse(frame);
    const received = new Date(time).toISOString();
    return `{"client_sequence":${number},"id":"${uuid(random)}","received_at":"${received}","event":${frame}}`;
  } catch {
    return undefined;
  }
}

/** Settles as `promise` does, but rejects if the storage does not answer in time. */
export async function within<T>(promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => (timer = setTimeout(reject, PATIENCE)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Returns the frame of an item. */
function frameOf(item: string): string {
  return item.slice(item.indexOf('"event":') + '"event":'.length, -1);
}

/** Returns a bound on the bytes of a text in UTF-8. */
function size(text: string): number {
  let bytes = text.length;
  for (let place = 0; place < text.length; place += 1) {
    const unit = text.charCodeAt(place);
    if (unit > 0x7f) bytes += unit > 0x7ff ? 2 : 1;
  }
  return bytes;
}
