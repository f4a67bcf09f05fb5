"use strict";
{
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Sorting: cells with data-order by number, others by their text; without a value last.
  const value = (row, place) => {
    const cell = row.cells[place];
    if (cell.dataset.order !== undefined) return Number(cell.dataset.order);
    const text = cell.textContent.trim();
    return text === "–" ? null : text;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number"
      ? a - b
      : String(a).localeCompare(String(b), "en", { numeric: true });
  const sort = (header) => {
    const table = header.closest("table");
    const body = table.tBodies[0];
    const direction = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const ordered = [...body.rows].sort((one, other) => {
      const [a, b] = [value(one, header.cellIndex), value(other, header.cellIndex)];
      if (a === null || b === null) return (a === null) - (b === null);
      return direction * compare(a, b);
    });
    for (const row of ordered) row.classList.remove("first");
    body.append(...ordered);
    for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
  };
  for (const button of all("table.sortable thead button")) {
    button.addEventListener("click", () => sort(button.closest("th")));
  }

  // Filters
  const form = document.querySelector(".controls");
  const chosen = (name) =>
    new Set(all(`input[name=${name}]:checked`, form).map((input) => input.value));
  const filter = () => {
    const tasks = chosen("task");
    const norms = chosen("norm");
    for (const section of all("section[data-task]")) {
      section.hidden = !tasks.has(section.dataset.task);
    }
    for (const row of all("tr[data-norm]")) row.hidden = !norms.has(row.dataset.norm);
    const rows = all("section[data-task] > .scroll:first-of-type tr[data-norm]");
    const shown = rows.filter((row) => !row.hidden && !row.closest("section").hidden);
    form.querySelector("output").value = `${shown.length} of ${rows.length} rows`;
  };
  form.addEventListener("change", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  form.reset();
  filter();

  // Theme: the system's until it is chosen here; browsers may refuse to remember it.
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const show = () => button.setAttribute("aria-pressed", String(isDark()));
  const remembered = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null;
    }
  };
  if (["dark", "light"].includes(remembered())) root.dataset.theme = remembered();
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      // Chosen for this visit alone.
    }
    show();
  });
  dark.addEventListener("change", show);
  show();

  // Print what is folded, too.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    for (const part of folded) part.open = true;
  });
  addEventListener("afterprint", () => {
    for (const part of folded) part.open = false;
  });
}
