import type { ComponentChildren } from "preact";

export interface Column<Row> {
  title: string;
  cell: (row: Row) => ComponentChildren;
  /** Aligned to the right, with figures of one width. */
  numeric?: boolean;
  /** Takes the room that is left, and is cut off with an ellipsis. */
  wide?: boolean;
}

interface Props<Row> {
  /** What the table holds, for screen readers. */
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  rowKey: (row: Row) => string;
  /** Classes of a row. */
  rowClass?: (row: Row) => string;
}

/** A table, whose rows become blocks of labelled lines where the window is narrow. Roles keep it a table there. */
export function Table<Row>({ caption, columns, rows, rowKey, rowClass }: Props<Row>) {
  return (
    <table role="table" class="rows">
      <caption class="unseen">{caption}</caption>
      <thead role="rowgroup">
        <tr role="row">
          {columns.map((column) => (
            <th key={column.title} role="columnheader" scope="col" class={shape(column)}>
              {column.title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map((row) => (
          <tr key={rowKey(row)} role="row" class={rowClass?.(row)}>
            {columns.map((column) => (
              <td key={column.title} role="cell" class={shape(column)} data-title={column.title}>
                {column.cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function shape<Row>({ numeric, wide }: Column<Row>): string {
  return numeric ? "num" : wide ? "wide" : "";
}
