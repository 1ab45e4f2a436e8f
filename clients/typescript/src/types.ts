// What the service takes and sends. `make openapi` writes this file from `openapi.json`.

/** Any JSON value. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [name: string]: JsonValue };

/** What each operation takes besides its parameters. */
export interface CallOptions {
  /** Ends the call, also between two attempts. */
  signal?: AbortSignal | undefined;
  /** Only if the current version is this one, an `ETag`; otherwise the problem is `precondition-failed`. */
  ifMatch?: string | undefined;
}

/** The outcome for one message of a batch: the message (201 new, 200 on record already) or a problem. */
export interface BatchResult {
  status: number;
  message?: MessageResponse | null;
  problem?: Problem | null;
}

/** One result for each message of the batch, in the order of the request. */
export interface BatchResults {
  results: BatchResult[];
}

/** The subject matter of a conversation. */
export type ContextType = "onboarding" | "goal" | "task" | "reschedule" | "voice";

/** The current intent of a conversation. */
export interface ConversationIntent {
  conversation_id: string;
  intent: Intent | string;
  payload: JsonValue;
  /** The same for the same intent and payload; the value for `If-Match`. */
  version: string;
  /** The delivery that sends it to the orchestrator; null if no orchestrator is configured. */
  delivery_id: string | null;
}

/** One conversation as it stands in the record. */
export interface ConversationResponse {
  id: string;
  user_id: string | null;
  context_type: ContextType;
  voice_session_id: string | null;
  extracted_intent: Intent | string | null;
  intent_payload: JsonValue;
  linked_goal_id: string | null;
  linked_task_id: string | null;
  ended_at: string | null;
  duration_seconds: number | null;
  message_count: number;
  created_at: string;
  updated_at: string;
}

/** How many deliveries are sent again, by their state before. */
export interface DeliveriesRetried {
  failed: number;
  held: number;
}

/** One delivery to the orchestrator, and the outcome of its last attempt. */
export interface DeliveryResponse {
  id: string;
  conversation_id: string;
  type: string;
  /** `failed` after the last attempt, `held` after a 410; only an operator can send these again. */
  state: DeliveryState;
  attempts: number;
  created_at: string;
  /** While it is pending: the time of the next attempt, at the earliest. */
  due_at: string;
  /** When the orchestrator last accepted it. */
  delivered_at: string | null;
  last_attempt_at: string | null;
  /** The HTTP status of the last attempt; null while one is under way, and without an answer. */
  last_status: number | null;
  /** Why the last attempt failed, as a sentence. */
  last_error: string | null;
  /** The value of the header `webhook-id`, the same in each attempt. */
  webhook_id: string;
}

/** The state of a delivery to the orchestrator; `held` since it has answered 410 to a delivery. */
export type DeliveryState = "pending" | "delivered" | "failed" | "held";

/** From the first message to the last, or from the last to the first. */
export type Direction = "forward" | "backward";

/** The outcome of one request to erase a subject's conversations. */
export interface ErasureResponse {
  user_id: string;
  /** The number of conversations that this request erased. */
  erased: number;
  /** The number of messages in these. */
  messages: number;
  /** The number that is left: repeat the request until only those in `kept` are left. */
  left: number;
  /** Conversations to which a table of the host refers, at most 100; they stay. */
  kept: Kept[];
}

/** Where the feed begins without a cursor: at the first message on record, or after the last. */
export type FeedStart = "beginning" | "end";

/** An event whose fields are stored: an error, a warning, a refused injection, a frustrated user. */
export interface Incident {
  type: string;
  client_sequence: number | null;
  received_at: string;
  detail: { [name: string]: JsonValue };
}

/** One fault of the request. */
export interface InputFault {
  /** JSON pointer (RFC 6901) into the body, or `/query/…` or `/path/…` for parameters. */
  pointer: string;
  detail: string;
}

/** How a message reached the assistant: spoken or typed. */
export type InputModality = "voice" | "text";

/** What the person wants done, as the assistant understood it. */
export type Intent = "GOAL" | "NEW_TASK" | "RESCHEDULE_TASK";

/** A conversation that could not be erased. */
export interface Kept {
  conversation_id: string;
  /** Why, as a sentence. */
  detail: string;
}

/** One message on record. */
export interface MessageResponse {
  id: string;
  conversation_id: string;
  /** Its place in the conversation: 1, 2, 3 …, without gaps; it never changes. */
  sequence: number;
  role: Role;
  content: string;
  input_modality: InputModality;
  metadata: { [name: string]: JsonValue };
  timestamp: string;
  created_at: string;
  voice_session_id: string | null;
  client_sequence: number | null;
}

/** The order of messages: by `timestamp` (when they were said), or by `sequence` (as they were recorded). */
export type Order = "spoken" | "recorded";

export interface ConversationResponsePage {
  data: ConversationResponse[];
  next_cursor: string | null;
  has_more: boolean;
}

export interface DeliveryResponsePage {
  data: DeliveryResponse[];
  next_cursor: string | null;
  has_more: boolean;
}

export interface MessageResponsePage {
  data: MessageResponse[];
  next_cursor: string | null;
  has_more: boolean;
}

/** Why a request was not carried out. */
export interface Problem {
  /** Stable; as a URL relative to the service it leads to a page that says what to do. */
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
  /** Only with status 422: each distinct fault once. */
  errors?: InputFault[] | null;
  /** The number of faults that `errors` leaves out; absent if it is complete. */
  more_errors?: number | null;
}

/** The token and the URL with which a phone opens its own connection to Deepgram. */
export interface ProviderToken {
  /** To open one connection, with `Authorization: Bearer …`. */
  access_token: string;
  /** Seconds within which the phone must open the connection. */
  expires_in: number;
  url: string;
}

/** Which of a phone's numbered events are on record. */
export interface Receipt {
  /** Whether the phone has ended the session and no number is missing. */
  complete: boolean;
  received: number;
  /** The highest number that the phone named as its last, or that has arrived. */
  expected: number;
  /** The first 1,000 ranges of missing numbers, each as first and last, both inclusive. */
  missing: [number, number][];
  /** The number of events that arrived again. */
  duplicates: number;
  /** The sequence of the conversation's last message. */
  last_sequence: number;
  /** The number of missing ranges that `missing` does not name. */
  more_missing: number;
}

/** The role of a message's speaker. Deepgram's events have only `user` and `assistant`. */
export type Role = "user" | "assistant" | "system" | "function";

/** The formats of a transcript. */
export type TranscriptFormat = "json" | "jsonl" | "text" | "markdown" | "vtt" | "openai" | "deepgram";

/** The outcome for one event: stored (201 new, 200 stored before), with its messages; or a problem. */
export interface VoiceEventResult {
  status: number;
  messages?: MessageResponse[] | null;
  problem?: Problem | null;
}

/** One result for each event, in the order of the request. */
export interface VoiceEventResults {
  results: VoiceEventResult[];
}

/** A voice session that was begun. */
export interface VoiceSessionResponse {
  id: string;
  conversation_id: string;
  started_at: string;
  /** The number for the phone's next event. */
  next_client_sequence: number;
  /** `null` if the service has no API key of Deepgram. */
  deepgram: ProviderToken | null;
}

/** The state of a voice session. */
export interface VoiceSessionState {
  id: string;
  conversation_id: string;
  started_at: string;
  ended_at: string | null;
  end_reason: string | null;
  duration_seconds: number | null;
  /** The last number that the phone says it used. */
  last_client_sequence: number | null;
  provider: string;
  /** Deepgram's ids of the first 1,000 connections. */
  provider_session_ids: string[];
  message_count: number;
  /** The number of events that are not messages, for the 100 most frequent types. */
  event_counts: { [name: string]: number };
  /** The number of entries in Deepgram's history without an equal message in the conversation. */
  unverified_count: number;
  /** The first 100. */
  incidents: Incident[];
}

/** A conversation to create. */
export interface ConversationCreate {
  /** Chosen by the client, so that a retry does not create a second conversation. */
  id?: string | null | undefined;
  context_type: ContextType;
  /**
   * The owner: the subject of that person's token, by default the client's own. Any other subject requires a service
   * token with `conversations:write:any`.
   */
  user_id?: string | null | undefined;
}

/** The end of a conversation without voice sessions. */
export interface ConversationEnd {
  /** By default now, by the database's clock. */
  ended_at?: string | null | undefined;
}

/** The links of a conversation that the orchestrator sets; ``null`` removes a link, an omitted field stays. */
export interface ConversationPatch {
  linked_goal_id?: string | null | undefined;
  linked_task_id?: string | null | undefined;
}

/** The settings of the assistant that depend on the conversation. */
export interface DeepgramAgent {
  context: DeepgramContext;
  /** Present only if the conversation has messages: the user is not greeted again. */
  greeting?: null;
}

/** The history of a new session. */
export interface DeepgramContext {
  /** Each is a `History` message of Deepgram's. */
  messages: { [name: string]: JsonValue }[];
}

/** A merge patch (RFC 7396) for a phone's own `Settings`, to continue the conversation in a new session. */
export interface DeepgramSettings {
  agent: DeepgramAgent;
}

/** A request to erase all conversations of a subject. */
export interface ErasureCreate {
  /** The subject; by default a person's own. A service has to name one. */
  user_id?: string | null | undefined;
}

/** The intent that a service extracted from a conversation. */
export interface IntentPut {
  intent: Intent;
  /** The details of the intent: at most 65536 bytes as JSON, nested at most 32 levels. */
  payload: { [name: string]: JsonValue };
}

/** 1 to 500 messages in one request; each gets its own result. */
export interface MessageBatch {
  messages: MessageCreate[];
}

/** A message to record: one utterance, or one side (request or result) of a function call. */
export interface MessageCreate {
  /** Chosen by the client before the first attempt, so that a retry does not record it twice. */
  id?: string | null | undefined;
  conversation_id: string;
  role: Role;
  /** What was said; at most 1048576 bytes of UTF-8. */
  content: string;
  input_modality?: InputModality | undefined;
  /** Any other data of the message: at most 16384 bytes as JSON, nested at most 32 levels. */
  metadata?: { [name: string]: JsonValue } | undefined;
  /**
   * When it was said, by the client's clock. The time of recording replaces one that is omitted, lies before 2000 or is
   * more than five minutes in the future; a replaced one is named in `metadata.repaired`.
   */
  timestamp?: string | null | undefined;
  voice_session_id?: string | null | undefined;
  /** The client's own numbering. */
  client_sequence?: number | null | undefined;
}

/** The messages to send to a model, which continues the conversation. */
export interface OpenAIChat {
  messages: { [name: string]: JsonValue }[];
}

/** A whole conversation in spoken order. */
export interface Transcript {
  conversation_id: string;
  messages: MessageResponse[];
}

/** 1 to 500 events in one request; each gets its own result. */
export interface VoiceEventBatch {
  events: VoiceEventCreate[];
}

/** An event of Deepgram, unchanged, with the phone's number and time. */
export interface VoiceEventCreate {
  /** Deepgram's JSON, unchanged, whether it came from the server or the client. */
  event: { [name: string]: JsonValue };
  /**
   * By the phone's clock; it should rise strictly. The time of recording replaces one that lies before 2000 or is more
   * than five minutes in the future.
   */
  received_at?: string | null | undefined;
  /** The phone's own number, from 1, of the events that it forwards in this session. */
  client_sequence?: number | null | undefined;
  /** Chosen by the phone; by default derived from the session and the number. */
  id?: string | null | undefined;
}

/** The request with which a phone begins a call. */
export interface VoiceSessionCreate {
  /** Chosen by the phone, at random, so that a retry does not begin a second session. */
  id?: string | null | undefined;
  /** The conversation to continue; by default a new one. */
  conversation_id?: string | null | undefined;
  /**
   * The conversation's owner: the subject of that person's token, by default the client's own. Any other subject
   * requires a service token with `conversations:write:any`.
   */
  user_id?: string | null | undefined;
}

/** The request with which a phone ends a call. */
export interface VoiceSessionEnd {
  reason?: string | null | undefined;
  /** The last number that the phone used; without it, missing last ones go unnoticed. */
  last_client_sequence?: number | null | undefined;
  /** By default now; also now if it lies before 2000 or is more than five minutes in the future. */
  ended_at?: string | null | undefined;
}

export interface ListConversationsQuery {
  context_type?: ContextType | undefined;
  intent?: Intent | undefined;
  ended?: boolean | undefined;
  linked_goal_id?: string | undefined;
  linked_task_id?: string | undefined;
  voice_session_id?: string | undefined;
  /** Only this owner's; requires a service token that may read every owner's. */
  user_id?: string | undefined;
  /** Created at this time or later. */
  since?: string | undefined;
  /** Created before this time. */
  until?: string | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

export interface ListMessagesQuery {
  /** Use `recorded` to follow a conversation. */
  order?: Order | undefined;
  /** `backward` begins with the last message. */
  direction?: Direction | undefined;
  role?: Role | undefined;
  /** Only messages with a greater sequence. */
  after_sequence?: number | undefined;
  /** Said at this time or later. */
  since?: string | undefined;
  /** Said before this time. */
  until?: string | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

export interface GetTranscriptQuery {
  format?: TranscriptFormat | undefined;
}

export interface ReadFeedQuery {
  /** The `next_cursor` of the previous page. */
  cursor?: string | undefined;
  /** Where to begin without a cursor. */
  start?: FeedStart | undefined;
  limit?: number | undefined;
  /** Seconds to wait for a message if there is none yet (long polling). */
  wait?: number | undefined;
}

export interface ExportSubjectQuery {
  /** The subject; by default a person's own. A service has to name one. */
  user_id?: string | undefined;
}

export interface ListDeliveriesQuery {
  state?: DeliveryState | undefined;
  conversation_id?: string | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

/** One method for each operation. */
export interface Operations {
  /** Record one message. A retry with the same id changes nothing and gets the same response. */
  recordMessage(body: MessageCreate, options?: CallOptions): Promise<MessageResponse>;
  /** Record up to 500 messages, in order. Each has its own result; a refused one does not stop the others. */
  recordMessages(body: MessageBatch, options?: CallOptions): Promise<BatchResults>;
  /** Begin a call, in a new or an existing conversation, and get a token for Deepgram. */
  beginVoiceSession(body: VoiceSessionCreate, options?: CallOptions): Promise<VoiceSessionResponse>;
  /** Read the state of a session: its connections, its events by type, its errors and warnings. */
  getVoiceSession(sessionId: string, options?: CallOptions): Promise<VoiceSessionState>;
  /** Get a new token for Deepgram, one for each connection. */
  getDeepgramToken(sessionId: string, options?: CallOptions): Promise<ProviderToken>;
  /** Record up to 500 of Deepgram's events, in the form in which Deepgram sent them. */
  recordVoiceEvents(sessionId: string, body: VoiceEventBatch, options?: CallOptions): Promise<VoiceEventResults>;
  /** End a call, and get its receipt. Events that arrive later are still recorded. */
  endVoiceSession(sessionId: string, body: VoiceSessionEnd, options?: CallOptions): Promise<Receipt>;
  /** Read how many events of a session are on record, and which sequence numbers of the phone are missing. */
  getReceipt(sessionId: string, options?: CallOptions): Promise<Receipt>;
  /** Open a conversation; a service may open one for a person (`user_id`). */
  createConversation(body: ConversationCreate, options?: CallOptions): Promise<ConversationResponse>;
  /** List conversations, newest first. */
  listConversations(query?: ListConversationsQuery, options?: CallOptions): Promise<ConversationResponsePage>;
  /** Read one conversation, without its messages. */
  getConversation(conversationId: string, options?: CallOptions): Promise<ConversationResponse>;
  /** Link a conversation to a goal or a task of the host; `null` removes a link. */
  linkConversation(conversationId: string, body: ConversationPatch, options?: CallOptions): Promise<ConversationResponse>;
  /** Erase a conversation with all its messages. This cannot be undone. */
  eraseConversation(conversationId: string, options?: CallOptions): Promise<void>;
  /** End a conversation that has no voice session. Messages that arrive later are still recorded. */
  endConversation(conversationId: string, body: ConversationEnd, options?: CallOptions): Promise<ConversationResponse>;
  /** Read a page of a conversation. */
  listMessages(conversationId: string, query?: ListMessagesQuery, options?: CallOptions): Promise<MessageResponsePage>;
  /** Read a whole conversation at one point in time, as a streamed response. */
  getTranscript(conversationId: string, query?: GetTranscriptQuery, options?: CallOptions): Promise<Transcript | OpenAIChat | DeepgramSettings | string>;
  /** Read every message of every conversation, each once; for services that may read those of all owners. */
  readFeed(query?: ReadFeedQuery, options?: CallOptions): Promise<MessageResponsePage>;
  /** Read everything that is on record of the caller; a service names the person by `user_id`. */
  exportSubject(query?: ExportSubjectQuery, options?: CallOptions): AsyncIterable<JsonValue>;
  /** Erase every conversation of a person with all its messages. This cannot be undone. */
  eraseSubject(body: ErasureCreate, options?: CallOptions): Promise<ErasureResponse>;
  /** Set the intent, and queue its delivery to the orchestrator in the same transaction. */
  putIntent(conversationId: string, body: IntentPut, options?: CallOptions): Promise<ConversationIntent>;
  /** Read the current intent. */
  getIntent(conversationId: string, options?: CallOptions): Promise<ConversationIntent>;
  /** List deliveries, newest first. The delivered payload is the intent of the conversation. */
  listDeliveries(query?: ListDeliveriesQuery, options?: CallOptions): Promise<DeliveryResponsePage>;
  /** Send all deliveries again that have failed, or that are held since the orchestrator answered 410. */
  retryFailedDeliveries(options?: CallOptions): Promise<DeliveriesRetried>;
  /** Read the state of one delivery. The delivered payload is the intent of the conversation. */
  getDelivery(deliveryId: string, options?: CallOptions): Promise<DeliveryResponse>;
  /** Send a delivery again with the same `webhook_id`, in whatever state it is. */
  retryDelivery(deliveryId: string, options?: CallOptions): Promise<DeliveryResponse>;
}
