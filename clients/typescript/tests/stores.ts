/** What every storage must do, in Node and in a browser; `assert` is the only thing that differs. */
import type { Row, Store } from "verbatim-record";

const LONG = "ü€😀".repeat(300_000); // more than Android reads in one row

export type Check = (store: Store, session: string) => Promise<void>;

function equal(found: unknown, expected: unknown): void {
  const [one, other] = [JSON.stringify(found), JSON.stringify(expected)];
  if (one !== other) throw new Error(`Found ${one?.slice(0, 200)}, not ${other?.slice(0, 200)}`);
}

const row = (number: number, text = `{"number":${number}}`): Row => ({ number, text });

export const CHECKS: Record<string, Check> = {
  "rows are read in order, from a place on, as many as asked for": async (store, session) => {
    await store.append(session, [row(1), row(2)]);
    await store.append(session, [row(10), row(11), row(100)]);
    equal(await store.read(session, 0, 100), [1, 2, 10, 11, 100].map((number) => row(number)));
    equal(await store.read(session, 2, 2), [row(10), row(11)]);
    equal(await store.read(session, 100, 2), []);
  },
  "rows are removed, also those that are not there": async (store, session) => {
    await store.append(session, [row(1), row(2), row(3)]);
    await store.remove(session, [1, 3, 7]);
    equal(await store.read(session, 0, 9), [row(2)]);
  },
  "a row with the same number is replaced": async (store, session) => {
    await store.append(session, [row(1)]);
    await store.append(session, [row(1, "{}")]);
    equal(await store.read(session, 0, 9), [row(1, "{}")]);
  },
  "sessions have nothing to do with each other": async (store, session) => {
    await store.append(session, [row(1)]);
    await store.append(`${session}/given-up`, [row(2)]);
    await store.remove(`${session}/given-up`, [1]);
    equal(await store.read(session, 0, 9), [row(1)]);
    equal(await store.read(`${session}/given-up`, 0, 9), [row(2)]);
  },
  "a row of megabytes is read back": async (store, session) => {
    await store.append(session, [row(1, LONG), row(2)]);
    equal(await store.read(session, 0, 9), [row(1, LONG), row(2)]);
    await store.remove(session, [1]);
    equal(await store.read(session, 0, 9), [row(2)]);
  },
  "heads are kept, replaced and removed": async (store, session) => {
    const head = { session, last: 3, time: 1_700_000_000_000 };
    await store.putHead(head);
    await store.putHead({ ...head, last: 4, ended: "hangup" });
    const own = async () => (await store.heads()).filter((each) => each.session === session);
    equal((await own()).map(({ last, ended }) => [last, ended]), [[4, "hangup"]]);
    await store.removeHead(session);
    equal(await own(), []);
  },
};
