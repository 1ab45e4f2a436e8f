/** Pages by cursor. The address holds the cursor, and the history of the browser is the way back. */
import { href, route } from "../route.ts";
import { filter } from "./filters.tsx";

/** Returns the cursor of the page that the address names; undefined is the first. */
export function cursor(): string | undefined {
  return filter("cursor");
}

/** Links to the first and the next page. */
export function Pager({ next, more }: { next: string | null; more: boolean }) {
  const here = cursor();
  if (!here && !more) return null;
  return (
    <nav class="pager" aria-label="Pages of the list">
      {here && <a href={page(undefined)}>First page</a>}
      {more && next && <a href={page(next)}>Next page</a>}
    </nav>
  );
}

function page(to: string | undefined): string {
  const query = new URLSearchParams(route.value.query);
  to ? query.set("cursor", to) : query.delete("cursor");
  return href(route.value.path, query);
}
