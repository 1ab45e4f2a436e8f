/**
 * The part of a transcript that is on the page: at most 400 messages in spoken order, and what leads to its neighbours.
 *
 * What was read once is kept, so that going back asks for nothing. A message that comes while the call is followed takes
 * its place by its time, so a late one may stand in the middle. While the reader has paused, or looks at an earlier part,
 * new messages are counted instead.
 */
import { type ReadonlySignal, signal } from "@preact/signals";
import type { ListMessagesQuery, MessagePage, MessageResponse } from "../../../clients/typescript/src/types.ts";

export const PAGE = 200; // messages
const STEP = PAGE / 2; // messages of a part that come onto the page in one task, so that the task is not long

export interface Shown {
  readonly messages: readonly MessageResponse[];
  /** Whether the call has messages before these, and after. */
  readonly earlier: boolean;
  readonly later: boolean;
  /** How many have come since, and are not shown. */
  readonly fresh: number;
}

const NUMBER = /^\d{1,15}$/;

/** Reads a page of the call's messages. */
export type List = (query: ListMessagesQuery, signal?: AbortSignal) => Promise<MessagePage>;

export class Reader {
  readonly #shown = signal<Shown>({ messages: [], earlier: false, later: false, fresh: 0 });
  readonly #paused = signal(false);
  readonly #read: List;
  #loaded: MessageResponse[] = [];
  #known = new Set<number>(); // the sequences of what is loaded or waits
  #waiting: MessageResponse[] = []; // came during a pause
  #recent: MessageResponse[] = []; // came last: a page that was being read meanwhile may lack them
  #start = 0;
  #end = 0;
  #before: ListMessagesQuery | undefined; // the page before what is loaded, undefined if there is none
  #after: ListMessagesQuery | undefined;
  #fresh = 0;
  #moving = false;

  constructor(read: List) {
    this.#read = read;
  }

  get shown(): ReadonlySignal<Shown> {
    return this.#shown;
  }

  get paused(): ReadonlySignal<boolean> {
    return this.#paused;
  }

  /**
   * Shows the part around `at`, a sequence or a time; without one the beginning, or the end if `last`.
   *
   * What is shown already stays.
   */
  async open(at: string | undefined, last: boolean, signal?: AbortSignal): Promise<true> {
    if (this.#loaded.length > 0 && (!at || this.#shown.value.messages.some((message) => isAt(message, at)))) return true;
    const list: List = (query) => this.#read({ limit: PAGE, ...query }, signal);
    const time = at && (await timeOf(list, at));
    if (time) await this.#openAround(list, time);
    else if (last) await this.#openEnd(list);
    else this.#place([], await list({}), undefined, {});
    return true;
  }

  earlier(): Promise<void> {
    return this.#move(async (list) => {
      if (this.#start === 0 && this.#before) {
        const page = await list(this.#before);
        const read = this.#add(page.data).reverse();
        this.#loaded = [...read, ...this.#loaded];
        this.#before = following(this.#before, page);
        this.#start = read.length;
      }
      this.#show(Math.max(0, this.#start - STEP), this.#start);
      await nextTask();
      this.#show(Math.max(0, this.#end - PAGE), this.#end);
    });
  }

  later(): Promise<void> {
    return this.#move(async (list) => {
      if (this.#end === this.#loaded.length && this.#after) {
        const page = await list(this.#after);
        this.#loaded = [...this.#loaded, ...this.#add(page.data)];
        this.#after = following(this.#after, page);
        this.#catchUp();
      }
      this.#show(this.#end, Math.min(this.#loaded.length, this.#end + STEP));
      await nextTask();
      this.#show(this.#start, Math.min(this.#loaded.length, this.#start + PAGE));
    });
  }

  /** Shows the newest messages, and goes on. */
  latest(): Promise<void> {
    this.#paused.value = false;
    return this.#move(async (list) => {
      if (this.#after) return this.#openEnd(list);
      for (const message of this.#waiting.splice(0)) this.#insert(message);
      this.#show(Math.max(0, this.#loaded.length - PAGE), this.#loaded.length);
    });
  }

  pause(): void {
    this.#paused.value = true;
  }

  /** Takes a message that has come, or that was redacted since. */
  readonly take = (message: MessageResponse): void => {
    this.#recent = [...this.#recent.slice(1 - PAGE), message];
    if (this.#known.has(message.sequence)) return this.#replace(message);
    const follows = !this.#after && this.#end === this.#loaded.length;
    if (!this.#after) this.#known.add(message.sequence); // else it is read with the part in which it stands
    if (this.#paused.value && !this.#after) this.#waiting.push(message);
    else if (!this.#after) this.#insert(message);
    if (follows && !this.#paused.value) {
      const [start, end] = [this.#start, this.#loaded.length];
      this.#show(end - start > 2 * PAGE ? start + PAGE : start, end);
    } else {
      this.#fresh += 1;
      this.#show(this.#start, this.#end);
    }
  };

  #replace(message: MessageResponse): void {
    const renewed = (each: MessageResponse) => (each.sequence === message.sequence ? message : each);
    this.#loaded = this.#loaded.map(renewed);
    this.#waiting = this.#waiting.map(renewed);
    this.#recent = this.#recent.map(renewed);
    this.#show(this.#start, this.#end);
  }

  /** Moves unless it is moving already, as after the first of two quick clicks. */
  async #move(to: (list: List) => Promise<void>): Promise<void> {
    if (this.#moving) return;
    this.#moving = true;
    try {
      await to((query) => this.#read({ ...query, limit: PAGE }));
    } finally {
      this.#moving = false;
    }
  }

  async #openAround(list: List, time: string): Promise<void> {
    const query = { direction: "backward", until: time } as const;
    const [before, after] = await Promise.all([
      list({ ...query, limit: PAGE / 4 }),
      list({ since: time, limit: (PAGE / 4) * 3 }),
    ]);
    this.#place(before.data, after, following(query, before), { since: time });
  }

  async #openEnd(list: List): Promise<void> {
    const query = { direction: "backward" } as const;
    const page = await list(query);
    this.#place(page.data, undefined, following(query, page), {});
  }

  /** Begins anew with messages before a place, the last of them first, and after it. */
  #place(
    before: readonly MessageResponse[],
    after: MessagePage | undefined,
    toBefore: ListMessagesQuery | undefined,
    query: ListMessagesQuery,
  ): void {
    this.#known.clear();
    this.#waiting = [];
    this.#loaded = this.#add([...before.toReversed(), ...(after?.data ?? [])]);
    this.#before = toBefore;
    this.#after = after && following(query, after);
    this.#fresh = 0;
    this.#catchUp();
    this.#show(0, this.#loaded.length);
  }

  /** Adds what has come while the last page was being read. */
  #catchUp(): void {
    if (!this.#after) for (const message of this.#add(this.#recent)) this.#insert(message);
  }

  #add(messages: readonly MessageResponse[]): MessageResponse[] {
    const added = messages.filter(({ sequence }) => !this.#known.has(sequence));
    for (const { sequence } of added) this.#known.add(sequence);
    return added;
  }

  #insert(message: MessageResponse): void {
    const place = this.#loaded.findLastIndex((other) => isBefore(other, message)) + 1;
    if (place === 0 && this.#before) {
      this.#known.delete(message.sequence); // it is read with the part in which it stands
      return;
    }
    this.#loaded = this.#loaded.toSpliced(place, 0, message);
    if (place < this.#start) this.#start += 1;
    if (place < this.#end) this.#end += 1;
  }

  #show(start: number, end: number): void {
    [this.#start, this.#end] = [start, end];
    const isLast = end === this.#loaded.length && !this.#after;
    if (isLast && this.#waiting.length === 0) this.#fresh = 0;
    this.#shown.value = {
      messages: this.#loaded.slice(start, end),
      earlier: start > 0 || this.#before !== undefined,
      later: !isLast,
      fresh: this.#fresh,
    };
  }
}

/** Whether a message is the one that `at` names: its sequence, or its time. */
export function isAt({ sequence, timestamp }: MessageResponse, at: string): boolean {
  return NUMBER.test(at) ? Number(at) === sequence : Date.parse(at) === Date.parse(timestamp);
}

function nextTask(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

/** Returns the query for the page after this one, undefined if it is the last. */
function following(query: ListMessagesQuery, { has_more, next_cursor }: MessagePage): ListMessagesQuery | undefined {
  return has_more && next_cursor ? { ...query, cursor: next_cursor } : undefined;
}

/** Returns the time of the place `at`, undefined if there is none. */
async function timeOf(list: List, at: string): Promise<string | undefined> {
  if (!NUMBER.test(at)) return Number.isNaN(Date.parse(at)) ? undefined : at;
  const { data } = await list({ order: "recorded", after_sequence: Math.max(0, Number(at) - 1), limit: 1 });
  return data[0]?.timestamp;
}

function isBefore(one: MessageResponse, other: MessageResponse): boolean {
  const [first, second] = [Date.parse(one.timestamp), Date.parse(other.timestamp)];
  return first === second ? one.sequence < other.sequence : first < second;
}
