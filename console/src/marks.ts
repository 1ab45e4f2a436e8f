/** The marked words of a text. The service counts code points, a string of JavaScript UTF-16 units. */

/** From the first code point to the one after the last, counted from 0. */
export type Range = readonly [start: number, end: number];

export interface Piece {
  readonly text: string;
  readonly marked: boolean;
}

export interface Clip {
  readonly text: string;
  readonly ranges: readonly Range[];
  /** Whether something stands before `text`, and after it. */
  readonly before: boolean;
  readonly after: boolean;
  /** The number of ranges that lie outside of `text`. */
  readonly hidden: number;
}

const MOST = 400; // code points shown of a message
const LEAD = 80; // of them before the first mark
const WORD = 20; // how far a cut moves, so that it lies between words

/** Returns `text` cut at its ranges, which are in order and apart. */
export function pieces(text: string, ranges: readonly Range[]): Piece[] {
  if (ranges.length === 0) return text ? [{ text, marked: false }] : [];
  const letters = [...text];
  const cut: Piece[] = [];
  let end = 0;
  const add = (to: number, marked: boolean) => {
    if (to > end) cut.push({ text: letters.slice(end, to).join(""), marked });
    end = Math.max(end, to);
  };
  for (const [start, stop] of ranges) {
    add(start, false);
    add(stop, true);
  }
  add(letters.length, false);
  return cut;
}

/** Returns the part of a long text around its first mark. */
export function clip(text: string, ranges: readonly Range[]): Clip {
  const letters = [...text];
  if (letters.length <= MOST) return { text, ranges, before: false, after: false, hidden: 0 };
  const first = ranges[0]?.[0] ?? 0;
  const start = wordFrom(letters, Math.max(0, Math.min(first - LEAD, letters.length - MOST)));
  const end = wordEnd(letters, Math.min(letters.length, start + MOST));
  const shown = ranges.filter(([from]) => from < end).map(([from, to]) => [from - start, Math.min(to, end) - start] as const);
  return {
    text: letters.slice(start, end).join(""),
    ranges: shown,
    before: start > 0,
    after: end < letters.length,
    hidden: ranges.length - shown.length,
  };
}

/** Returns where the last word before `end` ends, or `end` if none does nearby. */
function wordEnd(letters: readonly string[], end: number): number {
  const space = letters.slice(end - WORD, end).lastIndexOf(" ");
  return end === letters.length || space < 0 ? end : end - WORD + space;
}

/** Returns where the first word after `start` begins, or `start` if none does nearby. */
function wordFrom(letters: readonly string[], start: number): number {
  const space = letters.slice(start, start + WORD).indexOf(" ");
  return start === 0 || space < 0 ? start : start + space + 1;
}
