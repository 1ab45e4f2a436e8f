import { connection } from "../api.ts";
import { now } from "../clock.ts";
import { age } from "../format.ts";
import { signal } from "@preact/signals";

const WORDS = {
  offline: "No answer from the service. What you see may be old; the page goes on trying.",
  failing: "The service answers that it cannot serve requests now. The page goes on trying.",
};

const answered = signal(Date.now());
connection.subscribe((state) => {
  if (state !== "online") answered.value = Date.now();
});

/** Says that the service does not answer, and since when. */
export function Banner() {
  const state = connection.value;
  return (
    <div class="banner" role="status" hidden={state === "online"}>
      {state !== "online" && `${WORDS[state]} Since ${age(now.value - answered.value)}.`}
    </div>
  );
}
