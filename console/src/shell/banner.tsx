import { signal } from "@preact/signals";
import { connection } from "../api.ts";
import { now } from "../clock.ts";
import { age } from "../format.ts";

const WORDS = {
  offline: "No answer from the service. What you see may be old; the page goes on trying.",
  failing: "The service answers that it cannot serve requests now. The page goes on trying.",
};

const since = signal(0); // milliseconds since 1970
connection.subscribe((state) => {
  if (state !== "online") since.value = Date.now();
});

/** Says that the service does not answer, and since when. */
export function Banner() {
  const state = connection.value;
  return (
    <div class="banner" role="status" hidden={state === "online"}>
      {state !== "online" && (
        <>
          {WORDS[state]} {/* A screen reader would read it anew each second. */}
          <span aria-hidden="true">{age(now.value - since.value)}</span>
        </>
      )}
    </div>
  );
}
