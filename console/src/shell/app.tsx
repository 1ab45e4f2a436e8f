import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { announced } from "../announce.ts";
import { useKeys } from "../keys.ts";
import { PAGE_KEYS, NAVIGATION, pageAt } from "../pages.ts";
import { back, href, route } from "../route.ts";
import { held, signOut } from "../session.ts";
import { Banner } from "./banner.tsx";
import { Help } from "./help.tsx";
import { SignIn } from "./sign-in.tsx";

/** The page around all pages: the head with its navigation, the page that the address names, and dialogs over it. */
export function App() {
  const [help, setHelp] = useState(false);
  const { path } = route.value;
  const { Page, name } = pageAt(path);
  useFocusOnArrival(path.join("/"));
  const keys = {
    ...PAGE_KEYS,
    Escape: { does: "Back", press: () => path.length > 1 && back(href(path.slice(0, 1))) },
    "?": { does: "Show the keys", press: () => setHelp(true) },
  };
  useKeys("Everywhere", keys, { everywhere: true });
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <header class="head">
        <a class="brand" href={href(["calls"])} aria-label="Verbatim, calls">
          Verbatim
        </a>
        <nav aria-label="Pages">
          <ul>
            {NAVIGATION.map(({ name: each, title }) => (
              <li key={each}>
                <a href={href([each])} aria-current={each === name ? "page" : undefined}>
                  {title}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div class="tools">
          <button type="button" class="quiet" aria-keyshortcuts="?" onClick={() => setHelp(true)}>
            Keys
          </button>
          {held.value && (
            <button type="button" class="quiet" onClick={signOut}>
              Sign out
            </button>
          )}
        </div>
      </header>
      <Banner />
      <main id="main" tabIndex={-1}>
        <Page key={path.join("/")} path={path.slice(1)} />
      </main>
      <div class="unseen" role="status">
        {announced}
      </div>
      {help && <Help onClose={() => setHelp(false)} />}
      <SignIn />
    </>
  );
}

/** After the first page, the focus goes to the heading of each page, where a screen reader begins to read. */
function useFocusOnArrival(place: string): void {
  const last = useRef(place);
  useLayoutEffect(() => {
    const heading = document.querySelector("h1");
    if (last.current === place) return;
    last.current = place;
    window.scrollTo(0, 0);
    heading?.focus({ preventScroll: true });
  }, [place]);
}

function skip(event: Event): void {
  event.preventDefault(); // the hash is the place
  document.getElementById("main")?.focus();
}

