/** The pages of the console: a new one is a line here, and a file in `pages/`. */
import type { ComponentType } from "preact";
import type { Keys } from "./keys.ts";
import { Call } from "./pages/call.tsx";
import { Calls } from "./pages/calls.tsx";
import { Deliveries } from "./pages/deliveries.tsx";
import { Governance } from "./pages/governance.tsx";
import { Latency } from "./pages/latency.tsx";
import { NoPage } from "./pages/no-page.tsx";
import { Search } from "./pages/search.tsx";
import { Service } from "./pages/service.tsx";
import { Volume } from "./pages/volume.tsx";
import { go, href } from "./route.ts";

export interface PageProps {
  /** The segments of the path after the first. */
  path: readonly string[];
}

interface PageEntry {
  /** The first segment of its path. */
  readonly name: string;
  readonly title: string;
  /** The keys that go there. */
  readonly keys: readonly string[];
  readonly Page: ComponentType<PageProps>;
  /** The page of the paths with a second segment, as that of one call. */
  readonly One?: ComponentType<PageProps>;
}

/** In the order of the navigation. */
export const NAVIGATION: readonly PageEntry[] = [
  { name: "calls", title: "Calls", keys: ["g c"], Page: Calls, One: Call },
  { name: "search", title: "Search", keys: ["g s", "/"], Page: Search },
  { name: "latency", title: "Latency", keys: ["g l"], Page: Latency },
  { name: "volume", title: "Volume", keys: ["g v"], Page: Volume },
  { name: "deliveries", title: "Deliveries", keys: ["g d"], Page: Deliveries },
  { name: "service", title: "Service", keys: [], Page: Service },
  { name: "governance", title: "Governance", keys: [], Page: Governance },
];

export const PAGE_KEYS: Keys = Object.fromEntries(
  NAVIGATION.flatMap(({ name, title, keys }) =>
    keys.map((key) => [key, { does: title, press: () => go(href([name])) }]),
  ),
);

/** Returns the page of a path, and the name under which the navigation has it. */
export function pageAt(path: readonly string[]): { name?: string; Page: ComponentType<PageProps> } {
  const found = NAVIGATION.find(({ name }) => name === path[0]);
  const Page = path.length > 1 ? found?.One : found?.Page;
  return found && Page ? { name: found.name, Page } : { Page: NoPage };
}
