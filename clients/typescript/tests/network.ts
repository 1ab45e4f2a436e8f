/** A network between a phone and the service at VERBATIM_URL, which does what the test says. */
import type { Fetch, FetchAnswer, FetchInit, PhoneOptions, Random, Receipt, Store } from "verbatim-record";
import { MemoryStore, Phone } from "verbatim-record";

export { until } from "./until.ts";

export const api = `${process.env["VERBATIM_URL"]}/api/v1`;

/** What the network does with a request: an answer in the service's place, or undefined to let the service answer. */
export type Fault = (path: string, body: string) => FetchAnswer | undefined | Promise<FetchAnswer | undefined>;

/** Random bytes for ids, and none for pauses, which end at once. */
export const hasty: Random = (bytes) => (bytes.length > 1 ? crypto.getRandomValues(bytes) : bytes.fill(0));

/** An answer of something between the phone and the service. */
export function forged(status: number, headers: Record<string, string> = {}, text = "<html>No.</html>"): FetchAnswer {
  return { status, headers: { get: (name) => headers[name] ?? null }, text: async () => text };
}

export class Network {
  /** The bodies of the requests for events, in order. */
  readonly batches: string[] = [];
  readonly #faults: Fault[];

  /** Each fault is used once, in order; then all is well. */
  constructor(...faults: Fault[]) {
    this.#faults = faults;
  }

  /** Adds a fault for the next request. */
  add(...faults: Fault[]): void {
    this.#faults.push(...faults);
  }

  readonly fetch: Fetch = async (url: string, init: FetchInit) => {
    const path = url.slice(api.length);
    if (path.endsWith("/events")) this.batches.push(init.body);
    await new Promise(setImmediate); // no network answers before the event loop has turned
    return (await this.#faults.shift()?.(path, init.body)) ?? fetch(url, init);
  };
}

/** A fault for requests of events only; others pass, and leave it for the next. */
export function atEvents(network: Network, fault: Fault): Fault {
  return (path, body) => {
    if (path.endsWith("/events")) return fault(path, body);
    network.add(atEvents(network, fault));
    return undefined;
  };
}

export function open(options: Partial<PhoneOptions> & { network?: Network } = {}): Phone {
  const { network = new Network(), ...more } = options;
  return Phone.open({ api, store: new MemoryStore(), random: hasty, fetch: network.fetch, ...more });
}

export function said(content: string, role = "user"): string {
  return JSON.stringify({ type: "ConversationText", role, content });
}

/** Lets a phone say what is given, and returns the receipt. */
export async function call(phone: Phone, ...contents: string[]): Promise<Receipt> {
  for (const content of contents) phone.hear(said(content));
  return phone.end("hangup");
}

export interface Recorded {
  content: string;
  timestamp: string;
  client_sequence: number;
  metadata: Record<string, unknown> | null;
}

/** Returns the messages of the phone's conversation. */
export async function messages(phone: Phone): Promise<Recorded[]> {
  const session = (await (await fetch(`${api}/voice/sessions/${phone.session}`)).json()) as { conversation_id: string };
  const transcript = await fetch(`${api}/conversations/${session.conversation_id}/transcript`);
  return ((await transcript.json()) as { messages: Recorded[] }).messages;
}

export const contents = async (phone: Phone): Promise<string[]> => (await messages(phone)).map(({ content }) => content);

/** A storage whose methods the test may replace. */
export function storeWith(faults: Partial<Store>, store: Store = new MemoryStore()): Store {
  const methods = ["append", "read", "remove", "heads", "putHead", "removeHead"] as const;
  const passed = Object.fromEntries(methods.map((name) => [name, store[name].bind(store)]));
  return { ...passed, ...faults } as unknown as Store;
}
