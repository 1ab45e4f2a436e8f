import { useKeys } from "../keys.ts";

const LINKS = "main a[data-row]";

/** Lets `j` and `k` move the focus over the links of rows, `<a data-row>`; Enter then opens one, as it opens a link. */
export function useRows(): void {
  useKeys("Rows", {
    j: { does: "Next row", press: () => move(1) },
    k: { does: "Row before", press: () => move(-1) },
    Enter: { does: "Open the row" },
  });
}

function move(by: number): void {
  const links = [...document.querySelectorAll<HTMLElement>(LINKS)];
  const here = links.findIndex((link) => link === document.activeElement);
  const next = links[here < 0 ? (by > 0 ? 0 : links.length - 1) : here + by];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}
