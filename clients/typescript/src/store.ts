/**
 * Where a phone keeps its events until they are on record.
 *
 * There is one row for each event. It is written once, before the event is sent, and removed once the service has it. A
 * phone that wrote its whole queue at each event would write hundreds of megabytes during one call without a network, and
 * Android cannot read back a row of more than about 2 MB.
 */

/** One event. */
export interface Row {
  /** The phone's own count in the session, from 1. */
  number: number;
  /** The event as an item of the request that sends it, in JSON. */
  text: string;
}

/** What a phone must know of a session after a restart, besides the rows. */
export interface Head {
  session: string;
  /** The conversation to continue, if the app named one. */
  conversation?: string;
  /** At least as high as the number of every event that was removed. */
  last: number;
  /** The latest time that was given to such an event, in milliseconds since 1970. */
  time: number;
  /** The reason of the end, once the app has ended the session. */
  ended?: string;
}

/**
 * Durable storage for the events of any number of sessions.
 *
 * A session is any string here: the phone keeps what it has given up under a name of its own. Every method may reject; the
 * phone then calls it again later.
 */
export interface Store {
  /** Keeps rows whose numbers rise; they are durable when this resolves. A row with the same number is replaced. */
  append(session: string, rows: readonly Row[]): Promise<void>;
  /** Returns the first `limit` rows of a session whose number is above `after`, in the order of their numbers. */
  read(session: string, after: number, limit: number): Promise<Row[]>;
  /** Removes rows; numbers without a row are passed over. */
  remove(session: string, numbers: readonly number[]): Promise<void>;
  /** Returns the heads of all sessions. */
  heads(): Promise<Head[]>;
  /** Keeps a head in place of the session's earlier one. */
  putHead(head: Head): Promise<void>;
  /** Removes the head of a session. */
  removeHead(session: string): Promise<void>;
  /**
   * Takes a session for this process, until it ends, and returns whether no other process has it. Only storage that
   * processes share needs it, as that of browsers, whose tabs do.
   */
  claim?(session: string): Promise<boolean>;
}
