/** What a test waits for, in Node and in a browser. */
import type { Phone } from "verbatim-record";

/** Resolves when `phone` is in a state that `condition` accepts. */
export function until(phone: Phone, condition: (state: Phone["state"]) => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (!condition(phone.state)) return;
      stop();
      resolve();
    };
    const stop = phone.subscribe(look);
    look();
  });
}
