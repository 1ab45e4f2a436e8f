import { Fragment } from "preact";

// They change the order in which the text around them is shown, or are not shown at all.
const UNSEEN = /([\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff])/;

/** What was said, as text in its own direction. Characters that would not be seen, or reorder others, are named. */
export function Said({ text, lang }: { text: string; lang?: string | undefined }) {
  return (
    <bdi class="said" dir="auto" lang={lang}>
      {text.split(UNSEEN).map((part, index) =>
        index % 2 ? (
          <span key={index} class="control">
            U+{part.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}
          </span>
        ) : (
          <Fragment key={index}>{part}</Fragment>
        ),
      )}
    </bdi>
  );
}
