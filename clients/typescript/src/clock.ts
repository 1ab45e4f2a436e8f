/**
 * The times that a phone gives its events.
 *
 * People set the clocks of phones, and networks set them during a call. So the wall clock is read once, and a monotonic
 * clock counts from there. Each answer of the service has its time (`Date`), which corrects the phone's. Times rise
 * strictly, because the service orders messages by them.
 */

const TOLERATED = 2_000; // milliseconds; `Date` has a resolution of a second, and the answer was under way
const FUTURE = 300_000; // milliseconds; the service replaces a time that is further ahead (docs/phone.md)

export class Clock {
  #ahead: number; // milliseconds since 1970 at the zero of the monotonic clock
  #last = 0;

  constructor(now: () => number) {
    this.#ahead = now() - performance.now();
  }

  /** The time now, in milliseconds since 1970. */
  now(): number {
    return Math.floor(this.#ahead + performance.now());
  }

  /** Returns the time of the next event: now, or just after that of the event before. */
  next(): number {
    const now = this.now();
    const isPlausible = this.#last <= now + FUTURE;
    return (this.#last = isPlausible ? Math.max(now, this.#last + 1) : now);
  }

  /** Lets later times be above `time`. */
  pass(time: number): void {
    this.#last = Math.max(this.#last, time);
  }

  /** Corrects the clock by the `Date` of an answer, if it has one. */
  correct(date: string | null): void {
    const off = Date.parse(date ?? "") - this.now();
    if (Math.abs(off) > TOLERATED) this.#ahead += off;
  }
}
