/** Reads and writes the record: a method for each operation of the API, and streams that resume by themselves. */
import { TransportError } from "./errors.js";
import { uuid } from "./random.js";
import { EventParser, type ServerEvent } from "./server-events.js";
import { type Call, json, type Service, type StreamingAnswer, Transport } from "./transport.js";
import type * as t from "./types.js";
import { sleep } from "./watch.js";

type Query = { [name: string]: string | number | boolean | null | undefined };

/** A page of a list. */
export interface Page<T> {
  data: T[];
  next_cursor: string | null;
  has_more: boolean;
}

/** What a transcript is in each format. */
export interface Transcripts {
  json: t.Transcript;
  jsonl: string;
  text: string;
  markdown: string;
  vtt: string;
  srt: string;
  openai: t.OpenAIChat;
  deepgram: t.DeepgramSettingsPatch;
}

/** Where to follow a conversation from. */
export interface FollowOptions {
  /** Only messages with a greater sequence; 0 if left out. */
  afterSequence?: number | undefined;
  /** Ends the iteration, which then throws its reason. */
  signal?: AbortSignal | undefined;
  /** Is given each message, yielded before, from which words were taken out since; perhaps more than once. */
  onRedacted?: ((message: t.MessageResponse) => void) | undefined;
}

/** Where to read the feed from. */
export interface FeedOptions {
  /** What came with the last message that was dealt with. */
  cursor?: string | undefined;
  /** Where to begin without a cursor: at the `beginning` (if left out) or the `end` of the record. */
  start?: t.FeedStart | undefined;
  signal?: AbortSignal | undefined;
}

const SLOW = 60_000; // milliseconds for what may take longer than an ordinary answer
const SILENCE = 45_000; // milliseconds without a byte of a stream, in which the service sends a comment each 15 seconds
const POLL = 2_000; // milliseconds between two polls
const TAGS = new WeakMap<object, string>();

/** Returns the version of an answer, for `ifMatch`; undefined for an answer without one. */
export function etagOf(answer: object): string | undefined {
  return TAGS.get(answer);
}

/** Yields the items of all pages: `pages((cursor) => verbatim.listMessages(id, { cursor }))`. */
export async function* pages<T>(list: (cursor?: string) => Promise<Page<T>>): AsyncGenerator<T, void> {
  for (let page = await list(); ; page = await list(page.next_cursor ?? undefined)) {
    yield* page.data;
    if (!page.has_more) return;
  }
}

export class Verbatim implements t.Operations {
  readonly #transport: Transport;

  constructor(service: Service) {
    this.#transport = new Transport(service);
  }

  recordMessage(body: t.MessageCreate, options?: t.CallOptions): Promise<t.MessageResponse> {
    return this.#send("POST", "/voice/messages", options, this.#identified(body));
  }

  recordMessages(body: t.MessageBatch, options?: t.CallOptions): Promise<t.BatchResults> {
    const messages = body.messages.map((message) => this.#identified(message));
    return this.#send("POST", "/voice/messages/batch", options, { messages });
  }

  beginVoiceSession(body: t.VoiceSessionCreate = {}, options?: t.CallOptions): Promise<t.VoiceSessionResponse> {
    const id = body.id ?? `vs_${uuid(this.#transport.random).replaceAll("-", "")}`;
    return this.#send("POST", "/voice/sessions", options, { ...body, id });
  }

  getVoiceSession(sessionId: string, options?: t.CallOptions): Promise<t.VoiceSessionState> {
    return this.#send("GET", session(sessionId), options);
  }

  getDeepgramToken(sessionId: string, options?: t.CallOptions): Promise<t.ProviderToken> {
    return this.#send("POST", session(sessionId, "/token"), options);
  }

  recordVoiceEvents(sessionId: string, body: t.VoiceEventBatch, options?: t.CallOptions): Promise<t.VoiceEventResults> {
    // An event with a number has an id that derives from it.
    const events = body.events.map((event) => (event.client_sequence ? event : this.#identified(event)));
    return this.#send("POST", session(sessionId, "/events"), options, { events });
  }

  endVoiceSession(sessionId: string, body: t.VoiceSessionEnd = {}, options?: t.CallOptions): Promise<t.Receipt> {
    return this.#send("POST", session(sessionId, "/end"), options, body);
  }

  getReceipt(sessionId: string, options?: t.CallOptions): Promise<t.Receipt> {
    return this.#send("GET", session(sessionId, "/receipt"), options);
  }

  createConversation(body: t.ConversationCreate, options?: t.CallOptions): Promise<t.ConversationResponse> {
    return this.#send("POST", "/conversations", options, this.#identified(body));
  }

  listConversations(
    query?: t.ListConversationsQuery,
    options?: t.CallOptions,
  ): Promise<t.ConversationPage> {
    return this.#send("GET", `/conversations${search({ ...query })}`, options);
  }

  getConversation(
    conversationId: string,
    query?: t.GetConversationQuery,
    options?: t.CallOptions,
  ): Promise<t.ConversationResponse> {
    return this.#send("GET", conversation(conversationId, search({ ...query })), options);
  }

  linkConversation(
    conversationId: string,
    body: t.ConversationPatch,
    options?: t.CallOptions,
  ): Promise<t.ConversationResponse> {
    return this.#send("PATCH", conversation(conversationId), options, body);
  }

  eraseConversation(conversationId: string, options?: t.CallOptions): Promise<void> {
    return this.#send("DELETE", conversation(conversationId), options);
  }

  endConversation(
    conversationId: string,
    body: t.ConversationEnd = {},
    options?: t.CallOptions,
  ): Promise<t.ConversationResponse> {
    return this.#send("POST", conversation(conversationId, "/end"), options, body);
  }

  listMessages(
    conversationId: string,
    query?: t.ListMessagesQuery,
    options?: t.CallOptions,
  ): Promise<t.MessagePage> {
    return this.#send("GET", conversation(conversationId, `/messages${search({ ...query })}`), options);
  }

  getTranscript<F extends t.TranscriptFormat = "json">(
    conversationId: string,
    query?: { format?: F | undefined; strict?: boolean | undefined },
    options?: t.CallOptions,
  ): Promise<Transcripts[F]> {
    const path = conversation(conversationId, `/transcript${search({ ...query })}`);
    return this.#send("GET", path, options, undefined, SLOW);
  }

  /** Who spoke when; while `has_more`, ask for the next part with `next_cursor` as `cursor`. */
  getTimeline(
    conversationId: string,
    query?: t.GetTimelineQuery,
    options?: t.CallOptions,
  ): Promise<t.Timeline> {
    return this.#send("GET", conversation(conversationId, `/timeline${search({ ...query })}`), options);
  }

  readFeed(query?: t.ReadFeedQuery, options?: t.CallOptions): Promise<t.MessagePage> {
    return this.#send("GET", `/messages/feed${search({ ...query })}`, options, undefined, SLOW);
  }

  search(query: t.SearchQuery, options?: t.CallOptions): Promise<t.SearchPage> {
    return this.#send("GET", `/search${search({ ...query })}`, options);
  }

  /** Yields a line for each conversation; an answer that is cut off ends with a TransportError. */
  async *exportSubject(
    query?: t.ExportSubjectQuery,
    options?: t.CallOptions,
  ): AsyncGenerator<t.ExportedConversation, void> {
    const path = `/export${search({ ...query })}`;
    const stream = await this.#transport.open({ method: "GET", path, signal: options?.signal, time: SLOW });
    let rest = "";
    for await (const piece of stream ?? []) {
      const lines = (rest + piece).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) yield JSON.parse(line);
    }
  }

  listErasures(query?: t.ListErasuresQuery, options?: t.CallOptions): Promise<t.ErasedPage> {
    return this.#send("GET", `/erasures${search({ ...query })}`, options);
  }

  eraseSubject(body: t.ErasureCreate = {}, options?: t.CallOptions): Promise<t.ErasureResponse> {
    return this.#send("POST", "/erasures", options, body, SLOW);
  }

  putIntent(conversationId: string, body: t.IntentPut, options?: t.CallOptions): Promise<t.ConversationIntent> {
    return this.#send("PUT", conversation(conversationId, "/intent"), options, body);
  }

  getIntent(conversationId: string, options?: t.CallOptions): Promise<t.ConversationIntent> {
    return this.#send("GET", conversation(conversationId, "/intent"), options);
  }

  getStats(query?: t.GetStatsQuery, options?: t.CallOptions): Promise<t.Stats> {
    return this.#send("GET", `/stats${search({ ...query })}`, options, undefined, SLOW);
  }

  listDeliveries(query?: t.ListDeliveriesQuery, options?: t.CallOptions): Promise<t.DeliveryPage> {
    return this.#send("GET", `/deliveries${search({ ...query })}`, options);
  }

  retryFailedDeliveries(options?: t.CallOptions): Promise<t.DeliveriesRetried> {
    return this.#send("POST", "/deliveries/retry", options);
  }

  getDelivery(deliveryId: string, options?: t.CallOptions): Promise<t.DeliveryResponse> {
    return this.#send("GET", `/deliveries/${encodeURIComponent(deliveryId)}`, options);
  }

  retryDelivery(deliveryId: string, options?: t.CallOptions): Promise<t.DeliveryResponse> {
    return this.#send("POST", `/deliveries/${encodeURIComponent(deliveryId)}/retry`, options);
  }

  redactMessage(
    conversationId: string,
    messageId: string,
    body: t.RedactionCreate,
    options?: t.CallOptions,
  ): Promise<t.MessageResponse> {
    const path = conversation(conversationId, `/messages/${encodeURIComponent(messageId)}/redact`);
    return this.#send("POST", path, options, body);
  }

  holdConversation(conversationId: string, body: t.HoldPut, options?: t.CallOptions): Promise<t.HoldResponse> {
    return this.#send("PUT", conversation(conversationId, "/hold"), options, body);
  }

  releaseConversation(conversationId: string, options?: t.CallOptions): Promise<void> {
    return this.#send("DELETE", conversation(conversationId, "/hold"), options);
  }

  listHolds(query?: t.ListHoldsQuery, options?: t.CallOptions): Promise<t.HoldPage> {
    return this.#send("GET", `/holds${search({ ...query })}`, options);
  }

  listAudit(query?: t.ListAuditQuery, options?: t.CallOptions): Promise<t.AuditPage> {
    return this.#send("GET", `/audit${search({ ...query })}`, options);
  }

  getRetention(options?: t.CallOptions): Promise<t.RetentionPlan> {
    return this.#send("GET", "/retention", options, undefined, SLOW);
  }

  getService(options?: t.CallOptions): Promise<t.ServiceResponse> {
    return this.#send("GET", "/service", options);
  }

  /**
   * Yields the messages on record and then new ones, in recorded order, each once, until the conversation ends.
   *
   * Reads server-sent events, and connects again by itself. Where a body cannot be read while it comes, as with React
   * Native's own `fetch`, it polls. Rejects if the service refuses, or does not answer the first requests.
   */
  async *follow(
    conversationId: string,
    { afterSequence = 0, signal, onRedacted }: FollowOptions = {},
  ): AsyncGenerator<t.MessageResponse, void> {
    let after = afterSequence;
    let streams = false;
    let ended = false;
    while (!streams) {
      const query = search({ order: "recorded", after_sequence: after, limit: 500 });
      const path = conversation(conversationId, `/messages${query}`);
      const page = await this.#transport.send<t.MessagePage>({ method: "GET", path, signal }, (answer) => {
        streams = typeof answer.body?.getReader === "function";
        return json(answer);
      });
      for (const message of page.data) {
        yield message;
        after = message.sequence;
      }
      if (streams || page.has_more) continue;
      if (ended) return;
      ended = await this.#hasEnded(conversationId, signal);
      if (!ended) await sleep(POLL, signal);
    }
    const path = conversation(conversationId, `/live${search({ after_sequence: after })}`);
    for await (const { kind, data } of this.#events(path, undefined, signal)) {
      if (kind === "message") yield JSON.parse(data);
      if (kind === "redacted") onRedacted?.(JSON.parse(data));
      if (kind === "end") return;
    }
  }

  /**
   * Yields every message of every conversation, each with the cursor to go on from, without end.
   *
   * Connects again by itself. Needs a `fetch` whose bodies can be read while they come; `readFeed` does not.
   */
  async *feed({ cursor, start, signal }: FeedOptions = {}): AsyncGenerator<[string, t.MessageResponse], void> {
    // Without a place, a stream that begins at the end would begin at another end when it connects again.
    const end = !cursor && start === "end" ? await this.readFeed({ start, limit: 1 }, { signal }) : undefined;
    for await (const { kind, data, id } of this.#events("/messages/feed", cursor ?? end?.next_cursor, signal)) {
      if (kind === "message" && id !== undefined) yield [id, JSON.parse(data)];
    }
  }

  /** Returns `body` with an id, made before the first attempt, so that a repetition makes no second one. */
  #identified<T extends { id?: string | null | undefined }>(body: T): T {
    return { ...body, id: body.id ?? uuid(this.#transport.random) };
  }

  #send<T>(method: string, path: string, options?: t.CallOptions, body?: unknown, time?: number): Promise<T> {
    // A repetition would find another version, find nothing, or do the same once more.
    const repeatable = method === "GET" || !(options?.ifMatch || method === "DELETE" || path.endsWith("/retry"));
    const headers = { "if-match": options?.ifMatch };
    const { signal, attempts } = options ?? {};
    const call: Call = { method, path, body, headers, repeatable, signal, attempts };
    return this.#transport.send(time ? { ...call, time } : call, answerOf<T>);
  }

  /** Yields the events of a stream, which it opens again whenever it breaks, until the service answers 204. */
  async *#events(path: string, from?: string | null, signal?: AbortSignal): AsyncGenerator<ServerEvent, void> {
    let place = from ?? undefined;
    for (let endless = false; ; endless = true) {
      const headers = { accept: "text/event-stream", "last-event-id": place };
      const stream = await this.#transport.open({ method: "GET", path, headers, signal, endless, time: SILENCE });
      if (!stream) return;
      const parser = new EventParser();
      try {
        for await (const piece of stream) {
          for (const event of parser.feed(piece)) {
            place = event.id ?? place;
            yield event;
          }
        }
      } catch (caught) {
        if (!(caught instanceof TransportError)) throw caught;
      }
      await sleep(parser.retry, signal);
    }
  }

  /** Whether a conversation has ended, and not because its phone fell silent, which may come back. */
  async #hasEnded(conversationId: string, signal?: AbortSignal): Promise<boolean> {
    const { ended_at, voice_session_id } = await this.getConversation(conversationId, undefined, { signal });
    if (ended_at === null || voice_session_id === null) return ended_at !== null;
    return (await this.getVoiceSession(voice_session_id, { signal })).end_reason !== "abandoned";
  }
}

async function answerOf<T>(answer: StreamingAnswer): Promise<T> {
  if (answer.status === 204) return undefined as T;
  if (/^text\/(?!html)|jsonl|subrip/.test(answer.headers.get("content-type") ?? "")) return (await answer.text()) as T;
  const found = await json<T & object>(answer);
  const tag = answer.headers.get("etag");
  if (tag) TAGS.set(found, tag);
  return found;
}

function conversation(id: string, rest = ""): string {
  return `/conversations/${encodeURIComponent(id)}${rest}`;
}

function session(id: string, rest = ""): string {
  return `/voice/sessions/${encodeURIComponent(id)}${rest}`;
}

function search(query: Query): string {
  const found = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const pairs = found.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`);
  return pairs.length > 0 ? `?${pairs.join("&")}` : "";
}
