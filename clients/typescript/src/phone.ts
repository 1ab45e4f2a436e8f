/** A phone's side of a voice session: it numbers, times and keeps what it hears, and sends it until it is on record. */
import type { Fetch } from "./attempt.js";
import { Clock } from "./clock.js";
import { Queue, type Refused, within } from "./queue.js";
import { platformRandom, type Random, uuid } from "./random.js";
import { Sender } from "./sender.js";
import type { Store } from "./store.js";
import type { Problem, Receipt, VoiceSessionResponse } from "./types.js";

/** What the phones of an app have in common. */
export interface PhoneSettings {
  /** The address of the API, as `https://record.example/api/v1`. */
  api: string;
  /**
   * Returns the person's token; called before each request. `renew` is true if the service has just refused the last one.
   * A service in local mode needs none.
   */
  token?: (renew: boolean) => string | Promise<string>;
  /** Where events are kept until they are on record. */
  store: Store;
  /** By default the global `fetch`. */
  fetch?: Fetch;
  /** By default `crypto.getRandomValues`. React Native has none; expo-crypto does. */
  random?: Random;
  /** The wall clock in milliseconds since 1970, by default `Date.now`; read once for each phone. */
  now?: () => number;
  /** Called with each event that is lost: the storage is full or has lost it, it is not JSON, or the phone is closed. */
  onLost?: (frame: string | undefined) => void;
}

/** What one phone is made of. */
export interface PhoneOptions extends PhoneSettings {
  /** The session to go on with, by default a new one. */
  session?: string;
  /** The conversation to continue, by default a new one. */
  conversation?: string;
}

/** What a phone has still to do: a new object after each change. */
export interface PhoneState {
  /** How many events wait for a request. */
  readonly queued: number;
  /** How many events are in the request that is under way. */
  readonly inFlight: number;
  /** How many of both are in memory only, and would be lost if the app were killed now. */
  readonly unsaved: number;
  /** How many events were refused, and wait for `takeRefused`. */
  readonly refused: number;
  /** How many events were lost on the phone. */
  readonly lost: number;
  /** The age of the oldest event that is not on record, in milliseconds, as of the last change; 0 if there is none. */
  readonly oldestUnsentMs: number;
  /** Whether the service has answered the last request. */
  readonly online: boolean;
  /** Why the service refuses the session as a whole; the phone tries again. */
  readonly problem: Problem | undefined;
}

const PHONES = new WeakMap<Store, Map<string, Phone>>();

/** A phone in a voice session; there is one for each session. */
export class Phone {
  /** The id of the voice session. */
  readonly session: string;
  readonly #onLost: (frame: string | undefined) => void;
  readonly #queue: Queue;
  readonly #sender: Sender;
  readonly #listeners = new Set<() => void>();
  #dropped = 0;
  #hasLeft = false; // it has nothing to do, but may be writing still
  readonly #open: Map<string, Phone>;
  readonly #run: Promise<void>;
  #state: PhoneState | undefined;
  #isTelling = false;

  private constructor(options: PhoneOptions, session: string, open: Map<string, Phone>) {
    const { api, store, conversation, fetch = globalThis.fetch, now = Date.now, token = () => "" } = options;
    const random = options.random ?? platformRandom();
    const changed = () => this.#change();
    this.session = session;
    this.#open = open;
    this.#onLost = (frame) => queueMicrotask(() => options.onLost?.(frame));
    const clock = new Clock(now);
    const head = { session, last: 0, time: 0, ...(conversation && { conversation }) };
    this.#queue = new Queue(store, head, clock, random, {
      changed,
      lost: this.#onLost,
      pause: (failures) => this.#sender.pause(failures),
    });
    const left = () => {
      this.#hasLeft = true;
      globalThis.removeEventListener?.("online", this.wake);
      void this.#idle().then(() => {
        if (this.#hasLeft && open.get(session) === this) open.delete(session);
      });
    };
    this.#sender = new Sender({ api, token, fetch, random, clock, queue: this.#queue, session, changed, left });
    const run = () => this.#sender.run(options.session === undefined);
    // What the phone before still writes must be read, or its numbers would be given again.
    const before = open.get(session);
    this.#run = before ? before.#idle().then(run) : run();
    this.#join();
  }

  /**
   * Returns the phone of a session, which begins to send what `store` has of it: the same phone as long as it is open.
   * Throws a TypeError if there is no source of random bytes.
   */
  static open(options: PhoneOptions): Phone {
    const session = options.session ?? `vs_${uuid(options.random ?? platformRandom()).replaceAll("-", "")}`;
    const open = PHONES.get(options.store) ?? new Map<string, Phone>();
    PHONES.set(options.store, open);
    const before = open.get(session);
    return before && !before.#hasLeft ? before : new Phone(options, session, open);
  }

  /**
   * Opens a phone for each session of which `store` has something, but not for the calls of another tab of the browser.
   * Call it when the app starts. A session that was ended gets its end again. Rejects if the storage fails.
   */
  static async resumeAll(settings: PhoneSettings): Promise<Phone[]> {
    const { store } = settings;
    const phones: Phone[] = [];
    for (const { session } of await store.heads()) {
      if ((await store.claim?.(session)) ?? true) phones.push(Phone.open({ ...settings, session }));
    }
    return phones;
  }

  get state(): PhoneState {
    return (this.#state ??= this.#look());
  }

  /** Calls `listener` after each change of `state`, until the function that it returns is called. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Begins the session or, after a restart, goes on with it. Resolves when the service has answered, however long there is
   * no network; rejects with a ProblemError if it refuses. The answer has a token for one connection to Deepgram.
   */
  begin(): Promise<VoiceSessionResponse> {
    return this.#sender.begin();
  }

  /** Records a text frame that Deepgram has sent. Returns at once, and never throws. */
  hear(frame: string): void {
    const other = this.#open.get(this.session);
    if (this.#sender.isClosed) this.#drop(frame);
    else if (this.#hasLeft && other && other !== this) return other.hear(frame); // two would write the same rows
    else {
      if (this.#hasLeft) this.#join(); // it is heard after the receipt
      this.#queue.add(frame);
    }
    this.#change();
  }

  /** Records a text frame that the app has sent to Deepgram, as `hear` does. */
  sent(frame: string): void {
    this.hear(frame);
  }

  /**
   * Ends the session, for the first `reason` that was given. Resolves with the receipt once everything is on record or
   * given up, however long there is no network; if the app is killed before, `resumeAll` goes on. Rejects with a
   * ProblemError if the service refuses; if it refuses the reason (422), another one may follow.
   */
  end(reason: string): Promise<Receipt> {
    this.#queue.end(reason);
    return this.#sender.receipt();
  }

  /** Returns the events that the service has refused, with its reasons, and forgets them. */
  takeRefused(): Refused[] {
    const refused = this.#queue.take();
    this.#sender.leaveIfDone();
    return refused;
  }

  /** Sends at once what waits for a pause to end; call it when the network or the app comes back. */
  readonly wake = (): void => this.#sender.wake();

  /**
   * Stops sending, and resolves when nothing is being written, or the storage has not answered for 5 seconds. What is not on
   * record stays in the storage. What the storage did not take is lost.
   */
  async close(): Promise<void> {
    this.#sender.close();
    await within(this.#idle()).catch(() => undefined);
    for (const frame of this.#queue.abandon()) this.#drop(frame);
    this.#change();
  }

  /** Becomes the phone of its session. */
  #join(): void {
    this.#hasLeft = false;
    this.#open.set(this.session, this);
    globalThis.addEventListener?.("online", this.wake);
  }

  /** Resolves when this phone, which has left, writes no more. */
  async #idle(): Promise<void> {
    if (this.#sender.isClosed) await this.#run; // it may be reading still
    await this.#queue.idle();
  }

  #drop(frame: string): void {
    this.#dropped += 1;
    this.#onLost(frame);
  }

  #change(): void {
    this.#state = undefined;
    this.#sender.look();
    if (this.#isTelling) return;
    this.#isTelling = true;
    queueMicrotask(() => {
      this.#isTelling = false;
      for (const listener of this.#listeners) queueMicrotask(listener);
    });
  }

  #look(): PhoneState {
    const { inFlight, isOnline, problem } = this.#sender;
    const { age, size, unwritten, refused, lost } = this.#queue;
    return {
      queued: size - inFlight,
      inFlight,
      unsaved: unwritten,
      refused: refused.length,
      lost: lost + this.#dropped,
      oldestUnsentMs: Math.max(0, age),
      online: isOnline,
      problem,
    };
  }
}
