import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

interface Props {
  title: string;
  /** What the plot shows, in words: "p95 1.4 s, worst 3.2 s at 02:11". */
  sentence: string;
  /** The data of the plot. */
  columns: readonly string[];
  /** Made when the reader opens the table. */
  rows: () => readonly (readonly ComponentChildren[])[];
  children: ComponentChildren;
}

/** A plot with the sentence that it says, and the same data as a table, which every reader can open. */
export function Figure({ title, sentence, columns, rows, children }: Props) {
  const [open, setOpen] = useState(false);
  return (
    <figure>
      <figcaption>
        <h2>{title}</h2>
        <p>{sentence}</p>
      </figcaption>
      {children}
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>The same as a table</summary>
        {open && <Data title={title} columns={columns} rows={rows()} />}
      </details>
    </figure>
  );
}

function Data({ title, columns, rows }: { title: string; columns: readonly string[]; rows: readonly (readonly ComponentChildren[])[] }) {
  return (
    <div class="scroll" role="region" aria-label={`${title}, as a table`} tabIndex={0}>
      <table>
        <caption class="unseen">{title}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((cells, index) => (
            <tr key={index}>
              {cells.map((cell, place) => (place === 0 ? <th key={place} scope="row">{cell}</th> : <td key={place}>{cell}</td>))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
