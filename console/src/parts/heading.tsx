import type { ComponentChildren } from "preact";
import { useLayoutEffect } from "preact/hooks";

/** The one h1 of a page, and what stands beside it. It takes the focus when the reader arrives. */
export function Heading({ title, children }: { title: string; children?: ComponentChildren }) {
  useLayoutEffect(() => {
    document.title = `${title} · Verbatim`;
  }, [title]);
  return (
    <div class="heading">
      <h1 tabIndex={-1}>{title}</h1>
      {children}
    </div>
  );
}
