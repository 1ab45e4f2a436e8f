// What the service takes and sends. `make openapi` writes this file from `openapi.json`.

/** Any JSON value. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [name: string]: JsonValue };

/** What each operation takes besides its parameters. */
export interface CallOptions {
  /** Ends the call, also between two attempts. */
  signal?: AbortSignal | undefined;
  /** How many times the request is sent at most, from 1; 6 if left out. */
  attempts?: number | undefined;
  /** Only if the current version is this one, an `ETag`; otherwise the problem is `precondition-failed`. */
  ifMatch?: string | undefined;
}

/** Whether a search without an accent finds the letter with it; `exact` finds only the letters that were typed. */
export type Accents = "ignore" | "exact";

/** What the audit tells of. */
export type AuditAction =
  | "conversation.erased"
  | "message.redacted"
  | "conversation.held"
  | "conversation.released"
  | "retention.announced"
  | "retention.ran"
  | "subject.exported"
  | "token.created"
  | "token.revoked"
  | "database.adopted";

/** One entry of the audit: it holds nothing that was said, and no person's subject. */
export interface AuditEntryResponse {
  id: string;
  at: string;
  /**
   * `conversation.erased`, `message.redacted`, `conversation.held`, `conversation.released`, `retention.announced`,
   * `retention.ran`, `subject.exported`, `token.created`, `token.revoked`, `database.adopted`; later releases add
   * others.
   */
  action: string;
  /**
   * The service that did it; `owner`: the person whose conversation it was; `local`: a command, or a client on this
   * machine without a token.
   */
  actor: string;
  conversation_id: string | null;
  message_id: string | null;
  /** Counts and names that the action has. */
  details: { [name: string]: JsonValue };
}

/** A page of the audit. */
export interface AuditPage {
  data: AuditEntryResponse[];
  /** The `cursor` of the next page; it stays valid at the end of the list. */
  next_cursor: string | null;
  /** Whether more follows now. */
  has_more: boolean;
}

/** The result of one message of a batch. */
export type BatchResult = RecordedMessage | ItemProblem;

/** One result for each message of the batch, in the order of the request. */
export interface BatchResults {
  results: BatchResult[];
}

/** The figures of one bucket. */
export interface Bucket {
  /** Conversations that were created. */
  calls: number;
  /** Their lengths together; a call that goes on counts 0. */
  minutes: number;
  /** Those whose end the service presumed, because the phone was silent. */
  abandoned: number;
  /** Those that have ended with a receipt that is not complete. */
  incomplete: number;
  /** The number of those with an intent, by intent. */
  intents: { [name: string]: number };
  /** How often a speaker began to speak after the other, or first. */
  turns: number;
  /** Answers that the user interrupted. */
  interruptions: number;
  /** The number of incidents, by type. */
  incidents: { [name: string]: number };
  latency_ms: LatencyFigures;
  /** Inclusive; the bucket ends where the next one starts. */
  start: string;
}

/** The total latencies of a call's answers in milliseconds; null without an answer whose latency is known. */
export interface CallLatency {
  p50: number | null;
  p95: number | null;
  max: number | null;
  /** The number of answers whose latency is known. */
  count: number;
}

/** Whether a conversation goes on. `abandoned`: the service presumed its end, because its phone sent nothing. */
export type CallState = "live" | "ended" | "abandoned";

/** The database connections of the processes of one release, on every machine. */
export interface ConnectedRelease {
  /** The revision that the release was written for. */
  schema: string;
  connections: number;
}

/** The subject matter of a conversation. */
export type ContextType = "onboarding" | "goal" | "task" | "reschedule" | "voice";

/** The body of a delivery: a conversation has ended. If it goes on after that, its next end is told, too. */
export interface ConversationEndedEvent {
  type: "conversation.ended";
  /** When it ended. */
  timestamp: string;
  data: EndedConversation;
}

/** The body of a delivery: a conversation was erased. Erase what you keep of it (GDPR, article 19). */
export interface ConversationErasedEvent {
  type: "conversation.erased";
  timestamp: string;
  data: ErasedConversation;
}

/** The current intent of a conversation. */
export interface ConversationIntent {
  conversation_id: string;
  /** One of `x-extensible-enum`, or another word that the host application has stored. */
  intent: "GOAL" | "NEW_TASK" | "RESCHEDULE_TASK" | (string & {});
  payload: JsonValue;
  /** The same for the same intent and payload; the value for `If-Match`. */
  version: string;
  /** The delivery that sends it to the orchestrator; null if no orchestrator is configured. */
  delivery_id: string | null;
}

/** A page of conversations. */
export interface ConversationPage {
  data: ConversationResponse[];
  /** The `cursor` of the next page; it stays valid at the end of the list. */
  next_cursor: string | null;
  /** Whether more follows now. */
  has_more: boolean;
}

/** One conversation as it stands in the record. */
export interface ConversationResponse {
  id: string;
  user_id: string | null;
  context_type: ContextType;
  voice_session_id: string | null;
  extracted_intent: "GOAL" | "NEW_TASK" | "RESCHEDULE_TASK" | (string & {}) | null;
  intent_payload: JsonValue;
  linked_goal_id: string | null;
  linked_task_id: string | null;
  ended_at: string | null;
  duration_seconds: number | null;
  message_count: number;
  created_at: string;
  updated_at: string;
  /** With `include=summary`. A list leaves out the summaries that take longer than a second. */
  summary?: Summary;
}

/** How many deliveries are sent again, by their state before. */
export interface DeliveriesRetried {
  failed: number;
  held: number;
}

/** A page of deliveries. */
export interface DeliveryPage {
  data: DeliveryResponse[];
  /** The `cursor` of the next page; it stays valid at the end of the list. */
  next_cursor: string | null;
  /** Whether more follows now. */
  has_more: boolean;
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

/** The end that a delivery tells of, and the receipt of the voice session that ended last. */
export interface EndedConversation {
  conversation_id: string;
  /** null: the conversation has no voice session. */
  voice_session_id: string | null;
  /** `abandoned`: the service presumed the end, and it may go on. A phone's own reason is not told. */
  end_reason: "abandoned" | null;
  ended_at: string;
  duration_seconds: number | null;
  message_count: number;
  receipt: Receipt | null;
}

/** The erasure that a delivery tells of. */
export interface ErasedConversation {
  conversation_id: string;
  erased_at: string;
  message_count: number;
}

/** A page of erased conversations, ordered by their ids. */
export interface ErasedPage {
  data: Tombstone[];
  /** The `cursor` of the next page; it stays valid at the end of the list. */
  next_cursor: string | null;
  /** Whether more follows now. */
  has_more: boolean;
}

/** The outcome of one request to erase a subject's conversations. */
export interface ErasureResponse {
  user_id: string;
  /** The number of conversations that this request erased. */
  erased: number;
  /** The number of messages in these. */
  messages: number;
  /** The number that is left: repeat the request until only those in `kept` are left. */
  left: number;
  /** Conversations on hold, or to which a table of the host refers, at most 100; they stay. */
  kept: Kept[];
}

/** The intent that a delivery tells of. */
export interface ExtractedIntent {
  conversation_id: string;
  user_id: string | null;
  voice_session_id: string | null;
  /** One of `x-extensible-enum`, or another word that the host application has stored. */
  intent: "GOAL" | "NEW_TASK" | "RESCHEDULE_TASK" | (string & {});
  payload: JsonValue;
  /** The same for the same intent and payload; the value for `If-Match`. */
  version: string;
  /** The `version` of the intent that this one replaces. */
  replaces: string | null;
}

/** Where the feed begins without a cursor: at the first message on record, or after the last. */
export type FeedStart = "beginning" | "end";

/** What happened in a period. */
export interface Figures {
  /** Conversations that were created. */
  calls: number;
  /** Their lengths together; a call that goes on counts 0. */
  minutes: number;
  /** Those whose end the service presumed, because the phone was silent. */
  abandoned: number;
  /** Those that have ended with a receipt that is not complete. */
  incomplete: number;
  /** The number of those with an intent, by intent. */
  intents: { [name: string]: number };
  /** How often a speaker began to speak after the other, or first. */
  turns: number;
  /** Answers that the user interrupted. */
  interruptions: number;
  /** The number of incidents, by type. */
  incidents: { [name: string]: number };
  latency_ms: LatencyFigures;
}

/** How many answers had a total latency from ``from_ms`` (inclusive) to ``to_ms`` (exclusive; null is no bound). */
export interface HistogramPart {
  from_ms: number;
  to_ms: number | null;
  count: number;
}

/** A page of holds. */
export interface HoldPage {
  data: HoldResponse[];
  /** The `cursor` of the next page; it stays valid at the end of the list. */
  next_cursor: string | null;
  /** Whether more follows now. */
  has_more: boolean;
}

/** A hold of a conversation, which lasts while `released_at` is null. */
export interface HoldResponse {
  id: string;
  conversation_id: string;
  reason: string;
  held_at: string;
  /** The service that set it; `local` from this machine. */
  held_by: string;
  released_at: string | null;
  released_by: string | null;
}

/** An event whose fields are stored: an error, a warning, a refused injection, a frustrated user. */
export interface Incident {
  type: string;
  client_sequence: number | null;
  received_at: string;
  detail: { [name: string]: JsonValue };
}

/** What an answer contains on request. */
export type Included = "summary";

/** How a message reached the assistant: spoken or typed. */
export type InputModality = "voice" | "text";

/** What the person wants done, as the assistant understood it. */
export type Intent = "GOAL" | "NEW_TASK" | "RESCHEDULE_TASK";

/** The body of a delivery, a Standard Webhook: a conversation has a new intent. */
export interface IntentExtracted {
  type: "intent.extracted";
  /** When the intent was set. */
  timestamp: string;
  data: ExtractedIntent;
}

/** The result of a message or an event that was not recorded. */
export interface ItemProblem {
  kind: "problem";
  /** The `status` of the problem. */
  status: number;
  problem: Problem;
}

/** A conversation that could not be erased. */
export interface Kept {
  conversation_id: string;
  /** Why, as a sentence. */
  detail: string;
}

/** The row of a timeline in which a segment is drawn. */
export type Lane = "user" | "assistant" | "function" | "connection" | "incident";

/** The latencies of answers: from the end of the user's speech to the beginning of the answer, and its stages. */
export interface LatencyFigures {
  total: Percentiles;
  /** Speech recognition. */
  stt: Percentiles;
  /** The language model. */
  llm: Percentiles;
  /** Speech synthesis. */
  tts: Percentiles;
}

/** A page of messages. */
export interface MessagePage {
  data: MessageResponse[];
  /** The `cursor` of the next page; it stays valid at the end of the list. */
  next_cursor: string | null;
  /** Whether more follows now. */
  has_more: boolean;
}

/** The body of a delivery: words were taken out of a message. Read the message again in place of what you keep. */
export interface MessageRedactedEvent {
  type: "message.redacted";
  timestamp: string;
  data: RedactedMessage;
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

/** Percentiles of latencies in milliseconds, each one of the latencies; null if ``count`` is 0. */
export interface Percentiles {
  count: number;
  p50?: number | null;
  p90?: number | null;
  p95?: number | null;
  p99?: number | null;
}

export type Problem =
  | TokenMissingProblem
  | TokenInvalidProblem
  | ScopeMissingProblem
  | RoleNotAllowedProblem
  | NotFromHereProblem
  | ForeignPageProblem
  | InvalidProblem
  | ConversationNotFoundProblem
  | ConversationErasedProblem
  | ConversationIdReusedProblem
  | ConversationEndedProblem
  | ConversationHasSessionsProblem
  | HostOwnsConversationsProblem
  | OnHoldProblem
  | HoldNotFoundProblem
  | HostKeepsConversationProblem
  | MessageNotFoundProblem
  | MessageIdReusedProblem
  | LinkNotFoundProblem
  | IntentNotFoundProblem
  | IntentConflictProblem
  | PreconditionFailedProblem
  | DeliveryNotFoundProblem
  | VoiceSessionNotFoundProblem
  | VoiceSessionIdReusedProblem
  | VoiceSessionEndedProblem
  | EventIdReusedProblem
  | SearchDisabledProblem
  | ProviderNotConfiguredProblem
  | ProviderRefusedProblem
  | ProviderUnavailableProblem
  | BusyProblem
  | TooManyRequestsProblem
  | IssuerUnavailableProblem
  | DatabaseUnavailableProblem
  | TooSlowProblem
  | SearchTooSlowProblem
  | InternalErrorProblem
  | NotFoundProblem
  | MethodNotAllowedProblem
  | BodyTooLargeProblem
  | UnsupportedMediaTypeProblem
  | BadRequestProblem
  | RequestTimeoutProblem
  | HeadTooLargeProblem
  | NotReadyProblem
  | OtherProblem;

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
  /** Whether the phone has ended the session, no number is missing, and `client_lost` is 0. */
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
  /** How many events the phone says it gave up. The service cannot name them. */
  client_lost: number;
}

/** What the receipts of a conversation's voice sessions say together. */
export interface ReceiptSummary {
  /** Whether every receipt is complete. */
  complete: boolean;
  /** The number of events that the phone numbered or gave up, and that are missing. */
  missing: number;
}

/** The result of an event that is on record, with the messages that it became. */
export interface RecordedEvent {
  kind: "recorded";
  /** 201 if it is new, 200 if it was on record already. */
  status: 200 | 201;
  messages: MessageResponse[];
}

/** The result of a message that is on record. */
export interface RecordedMessage {
  kind: "recorded";
  /** 201 if it is new, 200 if it was on record already. */
  status: 200 | 201;
  message: MessageResponse;
}

/** The redaction that a delivery tells of. */
export interface RedactedMessage {
  conversation_id: string;
  message_id: string;
  sequence: number;
  redacted_at: string;
}

/** What the retention erases next. */
export interface RetentionPlan {
  /** Days after which conversations are erased, by context type. */
  periods: { [name: string]: number };
  /** When these periods take effect, a day after they were announced; null before that. */
  begins_at: string | null;
  /** How many conversations are older, by context type. */
  due: { [name: string]: number };
  /** How many more would be erased, but are on hold. */
  held: number;
  /** Whether all were counted: a request counts for ten seconds. */
  complete: boolean;
}

/** The role of a message's speaker. Deepgram's events have only `user` and `assistant`. */
export type Role = "user" | "assistant" | "system" | "function";

/** A message that was found. */
export interface SearchHit {
  conversation_id: string;
  message: MessageResponse;
  /**
   * Where in `content` it was found: `[start, end]`, in Unicode code points from 0, `end` exclusive. Empty where the
   * words are in `metadata`, or are written as escapes.
   */
  ranges: [number, number][];
  before: SearchNeighbour | null;
  after: SearchNeighbour | null;
}

/** The message before or after one that was found, in recorded order. */
export interface SearchNeighbour {
  sequence: number;
  role: Role;
  /** At most 200 characters of it. */
  content: string;
  /** Whether `content` lacks the rest of the message. */
  cut: boolean;
}

/** A page of messages that were found, the newest first. */
export interface SearchPage {
  data: SearchHit[];
  /** The `cursor` of the next page; it stays valid at the end of the list. */
  next_cursor: string | null;
  /** Whether more follows now. */
  has_more: boolean;
  /** When the newest message that can be found was recorded; null if none can be found yet. */
  indexed_up_to: string | null;
}

/** What a segment of a timeline shows. */
export type SegmentKind =
  | "speech"
  | "backchannel"
  | "text"
  | "wordless"
  | "interruption"
  | "silence"
  | "call"
  | "failed_call"
  | "cancelled_call"
  | "session"
  | "reconnect"
  | "error"
  | "warning"
  | "refused_injection"
  | "frustration"
  | "repaired"
  | "late"
  | "client_lost";

/** What an acknowledged message survives with PostgreSQL's settings. */
export interface ServiceDurability {
  /** The worst failure after which no acknowledged message is lost. */
  survives: string;
  /** The same in a sentence, with the settings and standbys that decide it. */
  promise: string;
  /** A sentence for each setting with which acknowledged messages can be lost. */
  faults: string[];
}

/** The deliveries to the orchestrator, each number counted up to 100,000. */
export interface ServiceOutbox {
  /** Those that are due or wait for another attempt. */
  waiting: number;
  /** Those that are held since the orchestrator answered 410. */
  held: number;
  /** Those that were given up after the last attempt. */
  failed: number;
  /** When the oldest waiting delivery was queued. */
  oldest_at: string | null;
}

/** Whether the worker that answers can record messages: for each part `ok`, or a word that names the fault. */
export interface ServiceReadiness {
  ready: boolean;
  database: string;
  schema: string;
  writes: string;
  queue: string;
  /** What is wrong and what to do, in sentences; null if nothing is. */
  remedy: string | null;
}

/** The state of the service. A part that could not be read is null, and `unknown` says why. */
export interface ServiceResponse {
  /** When this was read. An answer is at most three seconds old. */
  checked_at: string;
  readiness: ServiceReadiness;
  durability: ServiceDurability | null;
  schema: ServiceSchema | null;
  versions: ServiceVersions;
  /** Worker processes of the `verbatim serve` that answers, not of others. */
  workers: number;
  /** Clients that follow a conversation or the feed, at all of these workers. */
  followers: number;
  /**
   * The releases that are connected to the database, on this machine and on others. Connections through a pooler, and
   * those that the service's role may not see, are not counted.
   */
  releases: ConnectedRelease[] | null;
  outbox: ServiceOutbox | null;
  /** Null also while no process stores words for search. */
  search: ServiceSearch | null;
  sizes: ServiceSizes | null;
  unknown: UnknownPart[];
}

/** The schema's revisions; a release runs on its own and on newer ones that are compatible with it. */
export interface ServiceSchema {
  /** The revision that this release was written for. */
  code: string;
  /** The revision that the database was migrated to; null before the first. */
  database: string | null;
  /** The oldest revision whose release runs on the database's schema. */
  compatible_from: string | null;
}

/** How far the search is behind the record. */
export interface ServiceSearch {
  /** Age of the oldest new message that it does not find yet, 0 without one. */
  lag_seconds: number;
  /** About how many older messages it does not find yet. */
  past_messages: number;
}

/** Sizes on the disk of the database's server. */
export interface ServiceSizes {
  database_bytes: number;
  /** The tables that the service uses, the largest first. */
  tables: TableSize[];
  /** The write-ahead log; null if the service's role may not see it (`pg_monitor` may). */
  wal_bytes: number | null;
}

/** The versions of what runs; `postgresql` is null while the database does not answer. */
export interface ServiceVersions {
  service: string;
  python: string;
  postgresql: string | null;
}

/** One of the slowest answers of the period. */
export interface SlowAnswer {
  conversation_id: string;
  message_id: string;
  /** When it was said: the message's `timestamp`. */
  at: string;
  /** The total latency. */
  ms: number;
  stages: StageLatencies;
}

/** What recorded a message, by its `metadata.provider`; `posts` is every program that names none of the others. */
export type Source = "deepgram" | "pipecat" | "livekit" | "posts";

/** The latencies of an answer in milliseconds, each null if it is unknown. */
export interface StageLatencies {
  stt: number | null;
  llm: number | null;
  tts: number | null;
}

/** The figures of a period: in all, and by buckets, of which each is there, also where nothing happened. */
export interface Stats {
  since: string;
  until: string;
  bucket: Width;
  /** The figures may be up to a minute old. */
  computed_at: string;
  total: Figures;
  buckets: Bucket[];
  /** By total latency: ten parts for each power of ten, from the first that is not empty to the last. */
  histogram: HistogramPart[];
  /** The 20 with the largest total latency, the slowest first. */
  slowest: SlowAnswer[];
}

/** What happened in a conversation, in figures; `docs/figures.md` defines each. */
export interface Summary {
  state: CallState;
  turns: number;
  interruptions: number;
  /** The number of function calls. */
  functions: number;
  incidents: number;
  latency_ms: CallLatency;
  /** The first 100 characters of the user's first message, if that is one of the first 20 messages. */
  first_words: string | null;
  /** `null` for a conversation without voice sessions. */
  receipts: ReceiptSummary | null;
}

/** The size of a table on disk, with its indexes. */
export interface TableSize {
  table: string;
  bytes: number;
}

/** A part of a conversation's timeline, its segments by their beginnings. */
export interface Timeline {
  conversation_id: string;
  /** The time of its first message or voice session. */
  started_at: string;
  ended_at: string | null;
  segments: TimelineSegment[];
  /** The `cursor` of the next part; it stays valid at the end. */
  next_cursor: string | null;
  /** Whether more follows now. */
  has_more: boolean;
}

/** One segment of a timeline. */
export interface TimelineSegment {
  lane: Lane;
  kind: SegmentKind;
  started_at: string;
  /** The same as `started_at` for a moment; null while it goes on. */
  ended_at: string | null;
  /** Whether one of the two times is an estimate. */
  estimated: boolean;
  /** The message that it shows, or that was interrupted. */
  message_id: string | null;
  /** At most 80 characters for people: the first words, a function's name, a sentence. */
  label: string;
}

/** What is left of a conversation of a person that was erased. */
export interface Tombstone {
  conversation_id: string;
  erased_at: string;
  message_count: number;
}

/** The formats of a transcript. */
export type TranscriptFormat = "json" | "jsonl" | "text" | "markdown" | "vtt" | "srt" | "openai" | "deepgram";

/** A part of the answer that could not be read, and is null. */
export interface UnknownPart {
  part: string;
  reason: string;
}

/** The result of one event of a batch. */
export type VoiceEventResult = RecordedEvent | ItemProblem;

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

/** The width of a bucket, as a duration of ISO 8601. Buckets begin at multiples of it in UTC; weeks on Mondays. */
export type Width = "PT1M" | "PT5M" | "PT15M" | "PT1H" | "PT6H" | "P1D" | "P7D";

/** The request cannot be read as HTTP. Check the client library. */
export interface BadRequestProblem {
  type: "/problems/bad-request";
  title: string;
  status: 400;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * The body is too large. A body may have 2 MiB, a batch of messages or events 4 MiB, and either may have 50,000 JSON
 * values; send less at a time. Sending the same request again will not help.
 */
export interface BodyTooLargeProblem {
  type: "/problems/body-too-large";
  title: string;
  status: 413;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * The service is busy. Nothing was stored. Send the same request again, with the same ids, after the number of seconds
 * in Retry-After.
 */
export interface BusyProblem {
  type: "/problems/busy";
  title: string;
  status: 503;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
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

/**
 * The conversation has ended at another time. The first `ended_at` was not changed; GET the conversation to see it.
 * Sending the same request again will not help.
 */
export interface ConversationEndedProblem {
  type: "/problems/conversation-ended";
  title: string;
  status: 409;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * The conversation was erased. It was erased with all its messages, for good. Drop the messages queued for it. Sending
 * the same request again will not help.
 */
export interface ConversationErasedProblem {
  type: "/problems/conversation-erased";
  title: string;
  status: 410;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * The conversation ends with its voice sessions. End each voice session with POST /api/v1/voice/sessions/…/end. Sending
 * the same request again will not help.
 */
export interface ConversationHasSessionsProblem {
  type: "/problems/conversation-has-sessions";
  title: string;
  status: 409;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * The conversation id is taken. A conversation with this id and other content exists. Choose a new id. Sending the same
 * request again will not help.
 */
export interface ConversationIdReusedProblem {
  type: "/problems/conversation-id-reused";
  title: string;
  status: 409;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * No such conversation. Open it first with POST /api/v1/conversations; a message cannot be recorded without a
 * conversation. Sending the same request again will not help.
 */
export interface ConversationNotFoundProblem {
  type: "/problems/conversation-not-found";
  title: string;
  status: 404;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** The links of a conversation that the orchestrator sets; ``null`` removes a link, an omitted field stays. */
export interface ConversationPatch {
  linked_goal_id?: string | null | undefined;
  linked_task_id?: string | null | undefined;
}

/** An event of a conversation's live stream. */
export type ConversationStreamEvent = MessageStreamEvent | RedactedStreamEvent | EndStreamEvent | ResumeStreamEvent;

/**
 * The database is not available. Whether the request was carried out is unknown. Send the same request again, with the
 * same ids, after the number of seconds in Retry-After.
 */
export interface DatabaseUnavailableProblem {
  type: "/problems/database-unavailable";
  title: string;
  status: 503;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** The settings of the assistant that depend on the conversation. */
export interface DeepgramAgent {
  context: DeepgramContext;
  /** Present only if the conversation has messages: the user is not greeted again. */
  greeting?: null;
}

/** The assistant begins to speak; latencies are in seconds. */
export interface DeepgramAgentStartedSpeaking {
  type: "AgentStartedSpeaking";
  total_latency?: number;
  tts_latency?: number;
  ttt_latency?: number;
}

/** The assistant's reasoning. */
export interface DeepgramAgentThinking {
  type: "AgentThinking";
  content: string;
}

/** A function that the assistant calls. */
export interface DeepgramCall {
  id: string;
  name: string;
  /** JSON. */
  arguments: string;
  client_side?: boolean;
  thought_signature?: string;
}

/** A function call that Deepgram no longer wants. */
export interface DeepgramCancelledCall {
  id: string;
  name: string;
}

/** The history of a new session. */
export interface DeepgramContext {
  messages: DeepgramHistory[];
}

/** What the user or the assistant said. */
export interface DeepgramConversationText {
  type: "ConversationText";
  role: "user" | "assistant";
  content: string;
  conversational_behavior?: string;
  languages?: string[];
  languages_hinted?: string[];
}

/** Data from or to the provider of the language model. */
export interface DeepgramCustom {
  type: "__customFromThinkProvider" | "__customToThinkProvider";
  content: JsonValue;
}

/** An event of Deepgram's, as it came or was sent; its `type` says which. */
export type DeepgramEvent =
  | DeepgramConversationText
  | DeepgramInjectUserMessage
  | DeepgramFunctionCallRequest
  | DeepgramFunctionCallResponse
  | DeepgramFunctionCallCancelled
  | DeepgramHistory
  | DeepgramAgentStartedSpeaking
  | DeepgramLatencyReport
  | DeepgramWelcome
  | DeepgramTrouble
  | DeepgramFrustrationDetected
  | DeepgramInjectionRefused
  | DeepgramAgentThinking
  | DeepgramInjectAgentMessage
  | DeepgramSettings
  | DeepgramUpdateListen
  | DeepgramUpdateThink
  | DeepgramUpdateThinkLive
  | DeepgramUpdateSpeak
  | DeepgramUpdatePrompt
  | DeepgramCustom
  | DeepgramSignal
  | OtherDeepgramEvent;

/** The user sounds frustrated; ``count`` counts from 1 over the session. */
export interface DeepgramFrustrationDetected {
  type: "FrustrationDetected";
  count: number;
  escalated: boolean;
}

/** Deepgram no longer wants the results of these calls. */
export interface DeepgramFunctionCallCancelled {
  type: "FunctionCallCancelled";
  functions: DeepgramCancelledCall[];
}

/** The assistant calls functions. */
export interface DeepgramFunctionCallRequest {
  type: "FunctionCallRequest";
  functions: DeepgramCall[];
}

/** The result of a function call, from either side. */
export interface DeepgramFunctionCallResponse {
  type: "FunctionCallResponse";
  id?: string;
  name: string;
  content: string;
}

/** An earlier text, or earlier function calls. */
export interface DeepgramHistory {
  type: "History";
  role?: "user" | "assistant";
  content?: string;
  function_calls?: DeepgramPastCall[];
}

/** The client has the assistant say ``message``, or with ``is_dynamic`` a text of the language model. */
export interface DeepgramInjectAgentMessage {
  type: "InjectAgentMessage";
  message?: string;
  behavior?: string;
  is_dynamic?: boolean;
}

/** The client has the user say a text, such as one that was typed. */
export interface DeepgramInjectUserMessage {
  type: "InjectUserMessage";
  content: string;
}

/** Deepgram did not speak an injected message. */
export interface DeepgramInjectionRefused {
  type: "InjectionRefused";
  message: string;
}

/** The latencies of a turn, in seconds. */
export interface DeepgramLatencyReport {
  type: "LatencyReport";
  stt_latency?: number;
  ttt_token_latency?: number;
  ttt_text_latency?: number;
  ttt_tool_latency?: number;
  ttt_thinking_latency?: number;
  tts_latency?: number;
  total_latency?: number;
}

/** A function call with its result. */
export interface DeepgramPastCall {
  id: string;
  name: string;
  /** JSON. */
  arguments: string;
  client_side?: boolean;
  thought_signature?: string;
  response: string;
}

/** The client's first message on a connection. */
export interface DeepgramSettings {
  type: "Settings";
  audio?: { [name: string]: JsonValue };
  agent?: { [name: string]: JsonValue } | string;
  tags?: string[];
  experimental?: boolean;
  flags?: { [name: string]: JsonValue };
  mip_opt_out?: boolean;
}

/** A merge patch (RFC 7396) for a phone's own `Settings`, to continue the conversation in a new session. */
export interface DeepgramSettingsPatch {
  agent: DeepgramAgent;
}

/** An event without further fields. */
export interface DeepgramSignal {
  type: "SettingsApplied" | "UserStartedSpeaking" | "AgentAudioDone" | "PromptUpdated" | "ListenUpdated" | "ThinkUpdated" | "ThinkLiveUpdated" | "SpeakUpdated" | "KeepAlive" | "ForceEndTurn";
}

/** An error, after which Deepgram ends the connection, or a warning. */
export interface DeepgramTrouble {
  type: "Error" | "Warning";
  description: string;
  code: string;
}

/** The client changes how Deepgram listens. */
export interface DeepgramUpdateListen {
  type: "UpdateListen";
  listen: { [name: string]: JsonValue };
}

/** The client adds to the prompt. */
export interface DeepgramUpdatePrompt {
  type: "UpdatePrompt";
  prompt: string;
}

/** The client changes the voice. */
export interface DeepgramUpdateSpeak {
  type: "UpdateSpeak";
  speak: { [name: string]: JsonValue } | { [name: string]: JsonValue }[];
}

/** The client changes the language model. */
export interface DeepgramUpdateThink {
  type: "UpdateThink";
  think: { [name: string]: JsonValue } | { [name: string]: JsonValue }[];
}

/** The client changes how Deepgram watches the conversation. */
export interface DeepgramUpdateThinkLive {
  type: "UpdateThink_Live";
  think_live: { [name: string]: JsonValue };
}

/** A connection was opened. */
export interface DeepgramWelcome {
  type: "Welcome";
  /** Deepgram's id of the connection. */
  request_id: string;
}

/**
 * No such delivery. GET /api/v1/deliveries lists deliveries; those of an erased conversation were erased with it.
 * Sending the same request again will not help.
 */
export interface DeliveryNotFoundProblem {
  type: "/problems/delivery-not-found";
  title: string;
  status: 404;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** The conversation has ended or was erased: disconnect. A client that connects again gets 204. */
export interface EndStreamEvent {
  event: "end";
  id?: string;
  data: string;
}

/** A request to erase all conversations of a subject. */
export interface ErasureCreate {
  /** The subject; by default a person's own. A service has to name one. */
  user_id?: string | null | undefined;
}

/**
 * The event id is taken. Another event of the session with this id or this number is on record. For a retry, send the
 * original; number new events from `next_client_sequence` on. Sending the same request again will not help.
 */
export interface EventIdReusedProblem {
  type: "/problems/event-id-reused";
  title: string;
  status: 409;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** A line of an export. The line of a conversation that is erased meanwhile ends early, with `erased`. */
export interface ExportedConversation {
  conversation: ConversationResponse;
  /** In spoken order. */
  messages: MessageResponse[];
  voice_sessions?: ExportedVoiceSession[];
  deliveries?: DeliveryResponse[];
  erased?: true;
}

/** A voice session in an export. */
export interface ExportedVoiceSession {
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
  receipt: Receipt;
}

/** An event of the feed. */
export type FeedStreamEvent = MessageStreamEvent | ResumeStreamEvent;

/**
 * A page of another origin may not send this. No authentication is configured, so pages of other origins may change
 * nothing. The operator can allow the page's origin with VERBATIM_CORS_ORIGINS. Sending the same request again will not
 * help.
 */
export interface ForeignPageProblem {
  type: "/problems/foreign-page";
  title: string;
  status: 403;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * The head of the request is too large. The request line and the header fields may have 32 KiB together, and there may
 * be 100 header fields. Sending the same request again will not help.
 */
export interface HeadTooLargeProblem {
  type: "/problems/head-too-large";
  title: string;
  status: 431;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * The conversation is not on hold. There is nothing to release; GET /api/v1/holds lists all holds. Sending the same
 * request again will not help.
 */
export interface HoldNotFoundProblem {
  type: "/problems/hold-not-found";
  title: string;
  status: 404;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** A request to hold a conversation. */
export interface HoldPut {
  /** Why it must be kept, such as the number of a case; quote nothing that was said. */
  reason: string;
}

/**
 * The host application still refers to the conversation. A table of the host has a foreign key to it. Delete the rows
 * that refer to it, then erase the conversation. Sending the same request again will not help.
 */
export interface HostKeepsConversationProblem {
  type: "/problems/host-keeps-conversation";
  title: string;
  status: 409;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * Only the host application can open conversations. Its table has columns or constraints that this service does not
 * know. Let the host insert the row, then use its id. Sending the same request again will not help.
 */
export interface HostOwnsConversationsProblem {
  type: "/problems/host-owns-conversations";
  title: string;
  status: 409;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** One fault of the request. */
export interface InputFault {
  /** JSON pointer (RFC 6901) into the body, or `/query/…` or `/path/…` for parameters. */
  pointer: string;
  detail: string;
}

/**
 * The conversation has another intent. GET it; to replace it, send If-Match with the version that `detail` and the ETag
 * header name. Sending the same request again will not help.
 */
export interface IntentConflictProblem {
  type: "/problems/intent-conflict";
  title: string;
  status: 409;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * No intent yet. The conversation exists, but no client has PUT an intent. Sending the same request again will not
 * help.
 */
export interface IntentNotFoundProblem {
  type: "/problems/intent-not-found";
  title: string;
  status: 404;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** The intent that a service extracted from a conversation. */
export interface IntentPut {
  intent: Intent;
  /** The details of the intent: at most 65536 bytes as JSON, nested at most 32 levels. */
  payload: { [name: string]: JsonValue };
}

/**
 * A fault of the service. Whether the request was carried out is unknown: send it again with the same ids, and report
 * the request_id.
 */
export interface InternalErrorProblem {
  type: "/problems/internal-error";
  title: string;
  status: 500;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * The request does not have the documented form. `errors` holds a JSON pointer and a sentence for each fault, at most
 * 20; `more_errors` counts the others. Sending the same request again will not help.
 */
export interface InvalidProblem {
  type: "/problems/invalid";
  title: string;
  status: 422;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
  /** Each distinct fault once. */
  errors: InputFault[];
  /** The number of faults that `errors` leaves out; absent if it is complete. */
  more_errors?: number;
}

/**
 * The token cannot be checked now. The issuer's keys cannot be fetched. Send the same request again, with the same ids,
 * after the number of seconds in Retry-After.
 */
export interface IssuerUnavailableProblem {
  type: "/problems/issuer-unavailable";
  title: string;
  status: 503;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * No such goal or task. `errors` names the field whose goal or task does not exist. Create it first. Sending the same
 * request again will not help.
 */
export interface LinkNotFoundProblem {
  type: "/problems/link-not-found";
  title: string;
  status: 422;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
  /** Each distinct fault once. */
  errors: InputFault[];
  /** The number of faults that `errors` leaves out; absent if it is complete. */
  more_errors?: number;
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

/**
 * The message id is taken. Another message with this id is on record; `detail` names the fields that differ. For a
 * retry, send the original content; for a new message, choose a new id. Sending the same request again will not help.
 */
export interface MessageIdReusedProblem {
  type: "/problems/message-id-reused";
  title: string;
  status: 409;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * No such message. The conversation exists, but no message with this id is in it. Sending the same request again will
 * not help.
 */
export interface MessageNotFoundProblem {
  type: "/problems/message-not-found";
  title: string;
  status: 404;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** A message, as it was recorded. */
export interface MessageStreamEvent {
  event: "message";
  /** The message's sequence; in the feed, the cursor after it. */
  id: string;
  data: string;
}

/** The path does not allow this method. The Allow header names the methods that the path allows. */
export interface MethodNotAllowedProblem {
  type: "/problems/method-not-allowed";
  title: string;
  status: 405;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** No such path. /docs lists the paths of the API. */
export interface NotFoundProblem {
  type: "/problems/not-found";
  title: string;
  status: 404;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * Only this machine is served. No authentication is configured. Connect from the service's machine, to localhost and
 * through no proxy, or let the operator configure VERBATIM_AUTH_ISSUERS. The operator can list a proxy that names its
 * clients in X-Forwarded-For in VERBATIM_TRUSTED_PROXIES. Sending the same request again will not help.
 */
export interface NotFromHereProblem {
  type: "/problems/not-from-here";
  title: string;
  status: 421;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** Not ready to record messages. `checks` names the faults. Send traffic to other workers until they are repaired. */
export interface NotReadyProblem {
  type: "/problems/not-ready";
  title: string;
  status: 503;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
  /** For each part `ok`, or a word that names the fault. */
  checks: { [name: string]: string };
}

/**
 * The conversation is on hold. It must be kept as it is. An operator with the scope governance:manage can release it,
 * with DELETE /api/v1/conversations/…/hold. Sending the same request again will not help.
 */
export interface OnHoldProblem {
  type: "/problems/on-hold";
  title: string;
  status: 409;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** The messages to send to a model, which continues the conversation. */
export interface OpenAIChat {
  messages: (OpenAIText | OpenAIToolCalls | OpenAIToolResult)[];
}

/** A function with its arguments. */
export interface OpenAIFunction {
  name: string;
  arguments: string;
}

/** What a person or the assistant said, or an instruction. */
export interface OpenAIText {
  role: "user" | "assistant" | "system";
  content: string;
}

/** The call of a function. */
export interface OpenAIToolCall {
  id: string;
  type: "function";
  function: OpenAIFunction;
}

/** The assistant calls a function. */
export interface OpenAIToolCalls {
  role: "assistant";
  /** What the assistant said before the call; only with `strict`, else null. */
  content: string | null;
  tool_calls: OpenAIToolCall[];
}

/** The result of a function call. */
export interface OpenAIToolResult {
  role: "tool";
  tool_call_id: string;
  content: string;
}

/** Any other event, also of a type that Deepgram adds later, or with fields of other types. */
export interface OtherDeepgramEvent {
  type: string;
  [name: string]: JsonValue;
}

/** A problem that this release does not have. Act on its `status`. */
export interface OtherProblem {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * Another version is current. `If-Match` does not name the current version, so nothing was changed. GET the resource
 * again, compare it, and decide whether to change it; the ETag header names the current version. Sending the same
 * request again will not help.
 */
export interface PreconditionFailedProblem {
  type: "/problems/precondition-failed";
  title: string;
  status: 412;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * The service has no Deepgram key. The operator can set VERBATIM_DEEPGRAM_API_KEY. The service records events and
 * messages without it. Sending the same request again will not help.
 */
export interface ProviderNotConfiguredProblem {
  type: "/problems/provider-not-configured";
  title: string;
  status: 409;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * Deepgram refused a token. The operator must check the service's Deepgram key. The voice session itself works: send
 * its events. Sending the same request again will not help.
 */
export interface ProviderRefusedProblem {
  type: "/problems/provider-refused";
  title: string;
  status: 502;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
  /** The voice session, if the request began it: it works without a token. */
  session?: VoiceSessionResponse;
}

/**
 * Deepgram is not available. The voice session itself works: send its events, and ask for a token again, with POST
 * …/token, after the number of seconds in Retry-After.
 */
export interface ProviderUnavailableProblem {
  type: "/problems/provider-unavailable";
  title: string;
  status: 503;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
  /** The voice session, if the request began it: it works without a token. */
  session?: VoiceSessionResponse;
}

/** A message from which words were taken out: keep it in place of the one with the same id. It may come again. */
export interface RedactedStreamEvent {
  event: "redacted";
  data: string;
}

/** A request to take words out of a message. */
export interface RedactionCreate {
  /** Why; every reader of the message sees it, so quote nothing that was said. */
  reason: string;
  /**
   * `[start, end]` in `content`, in Unicode code points from 0, `end` exclusive, as a search returns them. null: all of
   * it.
   */
  ranges?: [number, number][] | null | undefined;
}

/**
 * The request arrived too slowly. The head of a request must arrive within 10 s, its body within 300 s and with 1 KiB a
 * second. Whether the request was carried out is unknown: connect again and send it again with the same ids.
 */
export interface RequestTimeoutProblem {
  type: "/problems/request-timeout";
  title: string;
  status: 408;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** Connect again, with `Last-Event-ID`. */
export interface ResumeStreamEvent {
  event: "resume";
  data: string;
  /** Milliseconds until then. */
  retry?: number;
}

/**
 * The token does not allow this role. A person's token allows the roles user, assistant and function; the role system
 * needs a service's token. Sending the same request again will not help.
 */
export interface RoleNotAllowedProblem {
  type: "/problems/role-not-allowed";
  title: string;
  status: 403;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * The token lacks a scope. `detail` names the scope that the operation needs. Ask the issuer of the token for it.
 * Sending the same request again will not help.
 */
export interface ScopeMissingProblem {
  type: "/problems/scope-missing";
  title: string;
  status: 403;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * Search is switched off. The operator has set VERBATIM_SEARCH=false. Read conversations with GET /api/v1/conversations
 * and their messages. Sending the same request again will not help.
 */
export interface SearchDisabledProblem {
  type: "/problems/search-disabled";
  title: string;
  status: 404;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * Too many messages match. The search took longer than 2 seconds, and is likely to take as long again. Narrow it: add a
 * word that is rarer, or `user_id`, `role` or `context_type`, and leave out `word*`.
 */
export interface SearchTooSlowProblem {
  type: "/problems/search-too-slow";
  title: string;
  status: 503;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** Why a stream has ended for good. */
export interface StreamEnd {
  reason: "ended" | "erased";
  ended_at: string | null;
}

/** Why a stream ends here, to go on with the next one. */
export interface StreamResume {
  /**
   * `stopping`: the worker stops. `abandoned`: the service presumed the conversation's end. Else the slug of the
   * problem with which the token is refused now.
   */
  reason: string;
}

/**
 * The token is not accepted. `detail` says why. Nothing was recorded: keep the message, get a new token, and send it
 * again with that.
 */
export interface TokenInvalidProblem {
  type: "/problems/token-invalid";
  title: string;
  status: 401;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * A token is needed. Send Authorization: Bearer … with a token of a configured issuer, or a service token. Nothing was
 * recorded: keep the message, and send it again with a token.
 */
export interface TokenMissingProblem {
  type: "/problems/token-missing";
  title: string;
  status: 401;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * Too many requests. The RateLimit headers name the limit and what is left of it. The request was not carried out. Send
 * the same request again, with the same ids, after the number of seconds in Retry-After.
 */
export interface TooManyRequestsProblem {
  type: "/problems/too-many-requests";
  title: string;
  status: 429;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * The database took too long. Reading took longer than VERBATIM_STATEMENT_TIMEOUT. The same request is likely to take
 * as long: ask for less at a time (`limit`), or try again later. The operator finds the SQLSTATE in the service's log.
 */
export interface TooSlowProblem {
  type: "/problems/too-slow";
  title: string;
  status: 504;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** A whole conversation in spoken order. */
export interface Transcript {
  conversation_id: string;
  messages: MessageResponse[];
}

/**
 * The body must be JSON. Send Content-Type: application/json and no Content-Encoding: compressed bodies are not
 * accepted.
 */
export interface UnsupportedMediaTypeProblem {
  type: "/problems/unsupported-media-type";
  title: string;
  status: 415;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** 1 to 500 events in one request; each gets its own result. */
export interface VoiceEventBatch {
  events: VoiceEventCreate[];
}

/** An event of Deepgram, unchanged, with the phone's number and time. */
export interface VoiceEventCreate {
  /** Deepgram's JSON, unchanged, whether it came from the server or the client. */
  event: DeepgramEvent;
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
  /** How many events the phone heard or numbered and gave up. It may rise in a later request. */
  client_lost?: number | undefined;
  /** By default now; also now if it lies before 2000 or is more than five minutes in the future. */
  ended_at?: string | null | undefined;
}

/**
 * The voice session has ended with other facts. `detail` names the fields that differ. They were not changed; GET the
 * receipt to see them. Sending the same request again will not help.
 */
export interface VoiceSessionEndedProblem {
  type: "/problems/voice-session-ended";
  title: string;
  status: 409;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * The voice session id is taken. A voice session with this id exists, in another conversation. Choose a new id. Sending
 * the same request again will not help.
 */
export interface VoiceSessionIdReusedProblem {
  type: "/problems/voice-session-id-reused";
  title: string;
  status: 409;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/**
 * No such voice session. Begin it first with POST /api/v1/voice/sessions. If its conversation was erased, drop the
 * events queued for it. Sending the same request again will not help.
 */
export interface VoiceSessionNotFoundProblem {
  type: "/problems/voice-session-not-found";
  title: string;
  status: 404;
  detail: string;
  instance: string;
  /** The trace id of `traceparent`, or a new id; the service's log has it, too. */
  request_id: string;
}

/** Any JSON object. */
export type JsonObject = { [name: string]: JsonValue };

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
  /** What each conversation contains besides. */
  include?: Included | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

export interface GetConversationQuery {
  /** What the answer contains besides. */
  include?: Included | undefined;
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
  /**
   * For `openai`: the one order that every chat template accepts. Neighbours of one role become one message, empty
   * texts are left out, and `user` and `assistant` take turns, `user` first.
   */
  strict?: boolean | undefined;
}

export interface GetTimelineQuery {
  /** Messages and voice sessions of this part; each has a few segments. */
  limit?: number | undefined;
  cursor?: string | undefined;
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

export interface SearchQuery {
  /** Words that all must occur: `"a phrase"`, `-not`, `begin*`; at most 16. */
  q: string;
  role?: Role | undefined;
  /** Only this owner's; requires a service token that may read every owner's. */
  user_id?: string | undefined;
  context_type?: ContextType | undefined;
  /** Said at this time or later. */
  since?: string | undefined;
  /** Said before this time. */
  until?: string | undefined;
  accents?: Accents | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

export interface ExportSubjectQuery {
  /** The subject; by default a person's own. A service has to name one. */
  user_id?: string | undefined;
}

export interface ListErasuresQuery {
  /** The subject; by default a person's own. A service has to name one. */
  user_id?: string | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

export interface ListDeliveriesQuery {
  state?: DeliveryState | undefined;
  conversation_id?: string | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

export interface ListHoldsQuery {
  conversation_id?: string | undefined;
  /** Only those that hold (`true`), or that have ended. */
  active?: boolean | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

export interface ListAuditQuery {
  action?: AuditAction | undefined;
  conversation_id?: string | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

export interface GetStatsQuery {
  /** From this time on; by default a day before `until`. */
  since?: string | undefined;
  /** Before this time; by default now. */
  until?: string | undefined;
  /** The width of a bucket; by default the smallest of which at most 100 are needed. An answer has at most 400. */
  bucket?: Width | undefined;
  context_type?: ContextType | undefined;
  /** Only what this has recorded. */
  source?: Source | undefined;
}

/** The body of each webhook, by its type. */
export interface Webhooks {
  /** Receive the intent of a conversation, signed by Standard Webhooks; verify the signature before you act. */
  "intent.extracted": IntentExtracted;
  /** Receive the end of a conversation, if `VERBATIM_ORCHESTRATOR_EVENTS` has `conversation.ended`. */
  "conversation.ended": ConversationEndedEvent;
  /** Receive the erasure of a conversation, if `VERBATIM_ORCHESTRATOR_EVENTS` has `conversation.erased`. */
  "conversation.erased": ConversationErasedEvent;
  /** Receive that a message was redacted, if `VERBATIM_ORCHESTRATOR_EVENTS` has `message.redacted`. */
  "message.redacted": MessageRedactedEvent;
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
  listConversations(query?: ListConversationsQuery, options?: CallOptions): Promise<ConversationPage>;
  /** Read one conversation, without its messages. */
  getConversation(conversationId: string, query?: GetConversationQuery, options?: CallOptions): Promise<ConversationResponse>;
  /** Link a conversation to a goal or a task of the host; `null` removes a link. */
  linkConversation(conversationId: string, body: ConversationPatch, options?: CallOptions): Promise<ConversationResponse>;
  /** Erase a conversation with all its messages. This cannot be undone. */
  eraseConversation(conversationId: string, options?: CallOptions): Promise<void>;
  /** End a conversation that has no voice session. Messages that arrive later are still recorded. */
  endConversation(conversationId: string, body: ConversationEnd, options?: CallOptions): Promise<ConversationResponse>;
  /** Read a page of a conversation. */
  listMessages(conversationId: string, query?: ListMessagesQuery, options?: CallOptions): Promise<MessagePage>;
  /** Read a whole conversation at one point in time, as a streamed response. */
  getTranscript(conversationId: string, query?: GetTranscriptQuery, options?: CallOptions): Promise<Transcript | OpenAIChat | DeepgramSettingsPatch | string>;
  /** Read when each side spoke, and what happened: silences, function calls, connections and incidents. */
  getTimeline(conversationId: string, query?: GetTimelineQuery, options?: CallOptions): Promise<Timeline>;
  /** Read every message of every conversation, each once; for services that may read those of all owners. */
  readFeed(query?: ReadFeedQuery, options?: CallOptions): Promise<MessagePage>;
  /** Find messages that have all words of `q`, in capitals or not, with accents or without. */
  search(query: SearchQuery, options?: CallOptions): Promise<SearchPage>;
  /** Read everything that is on record of the caller; a service names the person by `user_id`, which is audited. */
  exportSubject(query?: ExportSubjectQuery, options?: CallOptions): AsyncIterable<ExportedConversation>;
  /** List the conversations of a person that were erased: id, time and number of messages, by their ids. */
  listErasures(query?: ListErasuresQuery, options?: CallOptions): Promise<ErasedPage>;
  /** Erase every conversation of a person with all its messages. This cannot be undone. */
  eraseSubject(body: ErasureCreate, options?: CallOptions): Promise<ErasureResponse>;
  /** Set the intent, and queue its delivery to the orchestrator in the same transaction. */
  putIntent(conversationId: string, body: IntentPut, options?: CallOptions): Promise<ConversationIntent>;
  /** Read the current intent. */
  getIntent(conversationId: string, options?: CallOptions): Promise<ConversationIntent>;
  /** List deliveries, newest first. The delivered payload is the intent of the conversation. */
  listDeliveries(query?: ListDeliveriesQuery, options?: CallOptions): Promise<DeliveryPage>;
  /** Send all deliveries again that have failed, or that are held since the orchestrator answered 410. */
  retryFailedDeliveries(options?: CallOptions): Promise<DeliveriesRetried>;
  /** Read the state of one delivery. The delivered payload is the intent of the conversation. */
  getDelivery(deliveryId: string, options?: CallOptions): Promise<DeliveryResponse>;
  /** Send a delivery again with the same `webhook_id`, in whatever state it is. */
  retryDelivery(deliveryId: string, options?: CallOptions): Promise<DeliveryResponse>;
  /** Hold a conversation: until it is released, it can be neither erased nor redacted. */
  holdConversation(conversationId: string, body: HoldPut, options?: CallOptions): Promise<HoldResponse>;
  /** Release a conversation that is on hold; the hold stays in the list. */
  releaseConversation(conversationId: string, options?: CallOptions): Promise<void>;
  /** Take words out of a message, for good; the message keeps its id and its place. */
  redactMessage(conversationId: string, messageId: string, body: RedactionCreate, options?: CallOptions): Promise<MessageResponse>;
  /** List holds, newest first, also those that have ended, and those of conversations that are gone. */
  listHolds(query?: ListHoldsQuery, options?: CallOptions): Promise<HoldPage>;
  /** Count what the retention erases next, for at most about ten seconds. Nothing is erased by this. */
  getRetention(options?: CallOptions): Promise<RetentionPlan>;
  /** List what was done to the record, newest first: erasures, holds, exports of another's, tokens. */
  listAudit(query?: ListAuditQuery, options?: CallOptions): Promise<AuditPage>;
  /** Read the state of the service: readiness, durability, versions, workers, followers, outbox, search, sizes. */
  getService(options?: CallOptions): Promise<ServiceResponse>;
  /** Count calls, turns, incidents and latencies over time, by default over the last day. */
  getStats(query?: GetStatsQuery, options?: CallOptions): Promise<Stats>;
}
