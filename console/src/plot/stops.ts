/** A plot as a slider: the arrow keys visit its points, and a screen reader says what is read out there. */
import type { ComponentChildren } from "preact";

export interface Stops {
  /** What the points are, as "p95 over time". */
  label: string;
  /** Their places on the x axis, in ascending order. */
  places: readonly number[];
}

interface Visit {
  /** Where the reader is, undefined for nowhere. */
  place: number | undefined;
  text: ComponentChildren;
  go: (place: number | undefined) => void;
  pick: ((place: number) => void) | undefined;
}

const STEPS: Readonly<Record<string, number>> = {
  ArrowRight: 1,
  ArrowUp: 1,
  ArrowLeft: -1,
  ArrowDown: -1,
  PageUp: 10,
  PageDown: -10,
  Home: -Infinity,
  End: Infinity,
};

/** Returns the attributes of the element that the keys work in; none for a plot without points. */
export function slider(stops: Stops | undefined, { place, text, go, pick }: Visit) {
  if (!stops?.places.length) return {};
  const { label, places } = stops;
  return {
    role: "slider",
    tabIndex: 0,
    "aria-label": label,
    "aria-valuemin": 0,
    "aria-valuemax": places.length - 1,
    "aria-valuenow": place === undefined ? 0 : nearest(places, place),
    "aria-valuetext": typeof text === "string" ? text : "The arrow keys visit the points",
    onFocus: (event: FocusEvent) => place === undefined && (event.target as Element).matches(":focus-visible") && go(places[0]),
    onBlur: () => go(undefined),
    onKeyDown: (event: KeyboardEvent) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const next = stepped(places, place, event.key);
      if (next !== undefined) go(next);
      else if (event.key === "Enter" && pick && place !== undefined) pick(place);
      else return;
      event.preventDefault();
    },
  } as const;
}

/** Returns the place to which a key moves from `place`; undefined for a key that moves nowhere. */
export function stepped(places: readonly number[], place: number | undefined, key: string): number | undefined {
  const step = STEPS[key];
  if (step === undefined) return undefined;
  if (place === undefined) return step < 0 ? places[0] : places.at(step === Infinity ? -1 : 0);
  return places[Math.max(0, Math.min(places.length - 1, nearest(places, place) + step))];
}

/** Returns the index of the nearest of `places`. */
function nearest(places: readonly number[], place: number): number {
  return places.reduce((best, each, index) => (Math.abs(each - place) < Math.abs(places[best]! - place) ? index : best), 0);
}
