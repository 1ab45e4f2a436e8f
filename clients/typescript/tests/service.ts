/** A service in memory, for tests of what the real one cannot be brought to do, and storage that fails as the test says. */
import type { Fetch, FetchAnswer, PhoneOptions, Store } from "verbatim-record";
import { MemoryStore, Phone } from "verbatim-record";
import type test from "node:test";
import { forged, hasty, storeWith } from "./network.ts";

interface Item {
  client_sequence: number;
  id: string;
  event: { content: string };
}

interface Body {
  id?: string;
  events?: Item[];
  reason?: string;
  client_lost?: number;
}

const LONGEST_REASON = 255;

export class Service {
  /** What the messages on record say, and the numbers of their events. */
  readonly said: string[] = [];
  readonly numbers: number[] = [];
  /** How many events the phones have given up. */
  lost = 0;
  isOnline = true;
  /** Called before a request is answered. */
  before: (path: string) => void | Promise<void> = () => {};
  readonly #ids = new Set<string>();
  readonly #waiting = new Set<() => void>();

  readonly fetch: Fetch = async (url, init) => {
    await new Promise(setImmediate);
    if (!this.isOnline) throw new TypeError("offline");
    const { pathname } = new URL(url);
    await this.before(pathname);
    const answer = this.#answer(pathname, JSON.parse(init.body) as Body);
    for (const look of this.#waiting) look();
    return answer;
  };

  /** Resolves when an answer has made `condition` true. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!condition()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** Opens a phone of this service, which is closed when the test has ended. */
  open(t: test.TestContext, options: Partial<PhoneOptions> = {}): Phone {
    const phone = Phone.open({ ...this.settings, store: new MemoryStore(), ...options });
    t.after(() => void phone.close());
    return phone;
  }

  get settings() {
    return { api: "http://service.test/api/v1", random: hasty, fetch: this.fetch };
  }

  #answer(path: string, { id, events, reason = "", client_lost = 0 }: Body): FetchAnswer {
    if (events) return json({ results: events.map((item) => this.#record(item)) });
    if (!path.endsWith("/end")) return json({ id, next_client_sequence: Math.max(0, ...this.numbers) + 1 });
    if (reason.length > LONGEST_REASON) return json(REFUSAL, 422);
    this.lost = Math.max(this.lost, client_lost);
    return json({ complete: this.lost === 0, missing: [], client_lost: this.lost });
  }

  #record({ id, client_sequence, event }: Item): object {
    if (event.content.startsWith("refuse me")) return { kind: "problem", status: 422, problem: REFUSAL };
    if (!this.#ids.has(id)) {
      this.said.push(event.content);
      this.numbers.push(client_sequence);
    }
    this.#ids.add(id);
    return { kind: "recorded", status: 201, messages: [] };
  }
}

const REFUSAL = { type: "/problems/validation-failed", status: 422, detail: "No.", request_id: "r" };

function json(body: object, status = 200): FetchAnswer {
  return forged(status, {}, JSON.stringify(body));
}

export const fail = (): Promise<never> => Promise.reject(new Error("full"));
export const never = (): Promise<never> => new Promise(() => {});

/** Lets everything happen that waits for nothing but the event loop. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
}

/** Something that waits until the test opens it; `reached` resolves when something waits. */
export class Gate {
  open: () => void = () => {};
  #reach: () => void = () => {};
  readonly reached: Promise<void> = new Promise((resolve) => (this.#reach = resolve));
  readonly #opened: Promise<void> = new Promise((resolve) => (this.open = resolve));

  pass(): Promise<void> {
    this.#reach();
    return this.#opened;
  }
}

/** Storage that takes at most so many characters. */
export function bounded(memory: Store, most: number): Store {
  const sizes = new Map<string, number>();
  const put = (texts: [string, string][]) => {
    const used = [...sizes.values(), ...texts.map(([, text]) => text.length)].reduce((sum, each) => sum + each, 0);
    if (used > most) throw new Error("QuotaExceededError");
    for (const [key, text] of texts) sizes.set(key, text.length);
  };
  const faults: Partial<Store> = {
    async append(session, rows) {
      put(rows.map(({ number, text }) => [`${session}/${number}`, text]));
      await memory.append(session, rows);
    },
    async putHead(head) {
      put([[head.session, JSON.stringify(head)]]);
      await memory.putHead(head);
    },
    async remove(session, numbers) {
      for (const number of numbers) sizes.delete(`${session}/${number}`);
      await memory.remove(session, numbers);
    },
    async removeHead(session) {
      sizes.delete(session);
      await memory.removeHead(session);
    },
  };
  return storeWith(faults, memory);
}
