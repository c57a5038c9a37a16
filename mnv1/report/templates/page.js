"use strict";
// Tables sort by a click on a header and show the rows that contain every word of their filter.
for (const table of document.querySelectorAll("table[data-label]")) {
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    header.firstElementChild.addEventListener("click", () => {
      const down = header.getAttribute("aria-sort") === "ascending";
      headers.forEach((one) => one.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((one, other) => compare(one.cells[column], other.cells[column]));
      body.append(...(down ? rows.reverse() : rows));
    });
  });
}

// Numbers by their value and before words; cells without either come last.
function compare(one, other) {
  const [left, right] = [one, other].map((cell) => Number.parseFloat(cell.dataset.key ?? "NaN"));
  if (!Number.isNaN(left) && !Number.isNaN(right)) return left - right;
  if (Number.isNaN(left) !== Number.isNaN(right)) return Number.isNaN(left) ? 1 : -1;
  return one.textContent.localeCompare(other.textContent);
}

for (const details of document.querySelectorAll("details.rows")) {
  const [input, output] = [details.querySelector("input"), details.querySelector("output")];
  const rows = [...details.querySelector("tbody").rows];
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    output.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  };
  input.addEventListener("input", filter);
}

// The contents stand open where there is room beside the text.
const beside = window.matchMedia("(min-width: 72rem)");
const contents = document.querySelector("nav details");
const unfold = () => (contents.open = beside.matches);
beside.addEventListener("change", unfold);
unfold();
contents.addEventListener("click", (event) => {
  if (event.target.closest("a") && !beside.matches) contents.open = false;
});

// A plot that is drawn small for want of room grows by a click, and can be moved under the finger.
for (const figure of document.querySelectorAll("figure")) {
  figure.querySelector("img").addEventListener("click", () => figure.classList.toggle("large"));
}

// What is folded away on the screen belongs on paper.
window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
