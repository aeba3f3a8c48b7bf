// Keys and pasting in the table of lines: Enter goes down, Tab past the last field goes to the next line, as in a spreadsheet.

import { COLUMNS } from "./edited-line.js";

/** `table` moves: `below(element, column)`, `next(element)`; `fillFrom(element, column, rows)` takes what was pasted. */
export function setUpKeys(list, table) {
  list.addEventListener("keydown", (event) => {
    const { target, key, shiftKey } = event;
    if (event.isComposing || !target.matches("input[name], select[name]")) return;
    const line = target.closest(".edit-line");
    if (key === "Enter") {
      event.preventDefault(); // else the first Enter would save the estimate
      table.below(line, target.name, shiftKey ? -1 : 1);
    } else if (key === "Tab" && !shiftKey && isLast(target, line) && table.next(line)) {
      event.preventDefault();
    }
  });
  list.addEventListener("paste", (event) => {
    const column = COLUMNS.indexOf(event.target.name);
    const text = event.clipboardData.getData("text/plain").replace(/\r\n?/g, "\n").replace(/\n$/, "");
    if (column < 0 || !/[\t\n]/.test(text)) return;
    event.preventDefault();
    table.fillFrom(event.target.closest(".edit-line"), column, rowsOf(text));
  });
}

function isLast(target, line) {
  const fields = [...line.querySelectorAll("input[name], select[name]")].filter((field) => field.offsetParent !== null);
  return fields.at(-1) === target;
}

/** Rows of cells as spreadsheets copy them: tabs between, and quotes around a cell that holds tabs, quotes or line ends. */
export function rowsOf(text) {
  const rows = [[]];
  const cell = /(?:"((?:[^"]|"")*)"(?=\t|\n|$)|([^\t\n]*))(\t|\n|$)/gy;
  for (let match; (match = cell.exec(text)); ) {
    rows.at(-1).push((match[1]?.replaceAll('""', '"') ?? match[2]).replace(/[\n\t]+/g, " "));
    if (match[3] === "") break;
    if (match[3] === "\n") rows.push([]);
  }
  return rows.filter((cells) => cells.some((words) => words.trim() !== ""));
}
