/** Filters that live in the address, so that a view can be kept, shared and gone back to. */
import type { ComponentChildren } from "preact";
import { useKeys } from "../keys.ts";
import { go, href, route } from "../route.ts";

/** Returns a parameter of the address, undefined if it is not there or empty. */
export function filter(name: string): string | undefined {
  return route.value.query.get(name) || undefined;
}

/** Sets parameters of the address, or removes those that are empty; the place in a list begins anew. */
export function setFilters(values: Readonly<Record<string, string | undefined>>): void {
  const query = new URLSearchParams(route.value.query);
  query.delete("cursor");
  for (const [name, value] of Object.entries(values)) value ? query.set(name, value) : query.delete(name);
  go(href(route.value.path, query), { replace: true });
}

export function Filters({ children, label = "Filters" }: { children: ComponentChildren; label?: string }) {
  return (
    <form class="filters" role="search" aria-label={label} onSubmit={(event) => event.preventDefault()}>
      {children}
    </form>
  );
}

interface SelectProps {
  name: string;
  label: string;
  /** The values and their words; that of the empty value stands for no filter. */
  options: Readonly<Record<string, string>>;
}

export function Select({ name, label, options }: SelectProps) {
  return (
    <label>
      <span>{label}</span>
      <select
        name={name}
        value={filter(name) ?? ""}
        onChange={(event) => setFilters({ [name]: event.currentTarget.value })}
      >
        {Object.entries(options).map(([value, words]) => (
          <option key={value} value={value}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
}

/** A field that filters once the reader leaves it or presses Enter. */
export function Text({ name, label }: { name: string; label: string }) {
  return (
    <label>
      <span>{label}</span>
      <input type="text" {...field(name)} />
    </label>
  );
}

/** A day in the reader's zone; `dayOf` and `dayAfter` make instants of it. */
export function Day({ name, label }: { name: string; label: string }) {
  return (
    <label>
      <span>{label}</span>
      <input type="date" {...field(name)} />
    </label>
  );
}

function field(name: string) {
  return {
    key: `${name} ${filter(name)}`, // so that it shows what another control has set
    name,
    defaultValue: filter(name) ?? "",
    autoComplete: "off",
    spellcheck: false,
    onChange: (event: { currentTarget: HTMLInputElement }) => setFilters({ [name]: event.currentTarget.value.trim() }),
  } as const;
}

/** Says that nothing fits the filters, names them, and clears them. */
export function NoHits({ what, names }: { what: string; names: readonly string[] }) {
  const set = names.filter(filter).map((name) => `${name.replaceAll("_", " ")} ${filter(name)}`);
  return (
    <section class="empty">
      <h2>No {what} with these filters</h2>
      <p>{set.join(", ")}</p>
      <p class="actions">
        <button type="button" aria-keyshortcuts="x" onClick={() => clearFilters(names)}>
          Clear the filters <kbd>x</kbd>
        </button>
      </p>
    </section>
  );
}

/** The key that clears filters. */
export function useClearKey(names: readonly string[]): void {
  useKeys("Filters", { x: { does: "Clear the filters", press: () => clearFilters(names) } });
}

function clearFilters(names: readonly string[]): void {
  setFilters(Object.fromEntries(names.map((name) => [name, undefined])));
}
