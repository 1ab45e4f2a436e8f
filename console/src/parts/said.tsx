import { Fragment } from "preact";
import { pieces, type Range } from "../marks.ts";

// They change the order in which the text around them is shown, or are not shown at all.
const UNSEEN = /([\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff])/;

interface Props {
  text: string;
  lang?: string | undefined;
  /** What is marked in it. */
  ranges?: readonly Range[];
}

/** What was said, as text in its own direction. Characters that would not be seen, or reorder others, are named. */
export function Said({ text, lang, ranges = [] }: Props) {
  return (
    <bdi class="said" dir="auto" lang={lang}>
      {pieces(text, ranges).map((piece, index) =>
        piece.marked ? <mark key={index}>{visible(piece.text)}</mark> : <Fragment key={index}>{visible(piece.text)}</Fragment>,
      )}
    </bdi>
  );
}

function visible(text: string) {
  return text.split(UNSEEN).map((part, index) =>
    index % 2 ? (
      <span key={index} class="control">
        U+{part.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}
      </span>
    ) : (
      <Fragment key={index}>{part}</Fragment>
    ),
  );
}
