import { count } from "../format.ts";
import { filter } from "../parts/filters.tsx";
import { href, route } from "../route.ts";

/** The place that the address names: the sequence of a message or, from pages that do not know it, its time. */
export function wanted(): string | undefined {
  return filter("at");
}

/** Returns the address of a message of this call. */
export function placeOf(at: number | string): string {
  return href(route.value.path, { at });
}

/** A link to a message of this call, with its place. */
export function MessageLink({ sequence }: { sequence: number }) {
  return (
    <a class="place" href={placeOf(sequence)} aria-label={`Message ${sequence}`}>
      {count(sequence)}
    </a>
  );
}
