"use strict";
// Sorts and searches the table of workspaces.
const body = document.getElementById("rows");
const rows = [...body.rows].map((row) => ({ row, text: plain(row.cells[0].textContent) }));
const headings = [...document.querySelectorAll("thead th:not(.trend)")];
const search = document.getElementById("search");
const only = document.getElementById("only");

function plain(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

function number(text) {
  return parseFloat(text.replace("−", "-").replace(/[,%+<]/g, ""));
}

function sort(heading) {
  const isNumber = heading.classList.contains("num");
  const before = heading.getAttribute("aria-sort");
  // The largest numbers first, texts from A to Z; then the other way round.
  const down = before ? before === "ascending" : isNumber;
  headings.forEach((one) => one.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const text = ({ row }) => {
    const cell = row.cells[heading.cellIndex];
    // A cell with a second line names the value of its first.
    return cell.dataset.sort ?? cell.textContent.trim();
  };
  const key = isNumber ? (one) => number(text(one)) : text;
  const sorted = rows.map((one, place) => ({ one, place, key: key(one) }));
  const isMissing = ({ key }) => Number.isNaN(key) || key === "–";
  const language = new Intl.Collator("en", { numeric: true });
  sorted.sort((a, b) => {
    // Missing values come last in both directions.
    if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b) || a.place - b.place;
    const difference = isNumber ? a.key - b.key : language.compare(a.key, b.key);
    return (down ? -difference : difference) || a.place - b.place;
  });
  body.append(...sorted.map(({ one }) => one.row));
}

function filter() {
  const terms = plain(search.value).split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const { row, text } of rows) {
    const isNeeded = !only.checked || row.classList.contains("needs");
    row.hidden = !(isNeeded && terms.every((term) => text.includes(term)));
    shown += !row.hidden;
  }
  const whole = rows.length.toLocaleString("en");
  document.getElementById("shown").textContent =
    shown === rows.length ? `${whole} shown` : `${shown.toLocaleString("en")} of ${whole} shown`;
  document.getElementById("none").hidden = shown > 0;
}

for (const heading of headings) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = heading.textContent;
  if (heading.dataset.name) button.setAttribute("aria-label", heading.dataset.name);
  button.addEventListener("click", () => sort(heading));
  heading.replaceChildren(button);
}
search.addEventListener("input", filter);
search.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    search.value = "";
    filter();
  }
});
only.addEventListener("change", filter);
document.querySelector(".tools").hidden = false;
// The browser may have kept what was entered before a reload.
filter();
// A link to a folded entry opens it.
function unfold() {
  const folded = document.getElementById(location.hash.slice(1))?.closest("details");
  if (folded) folded.open = true;
}
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
addEventListener("hashchange", unfold);
unfold();
