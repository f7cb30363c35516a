/* Sorting, filtering and charts. The page is whole without this script: it holds every number already. */
"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];

  // A cell sorts by its full number where it has one, else by its text; what is missing comes last either way.
  const keyOf = (cell) => {
    if (cell.dataset.value !== undefined) return cell.dataset.value === "" ? null : Number(cell.dataset.value);
    const text = cell.textContent.trim();
    return text === "" || text === "—" ? null : text.toLocaleLowerCase();
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));

  // A row that fits is shown if it is a control or among the first of its table: as many as the reader asked for.
  const page = (table) => {
    const paging = table.closest("figure")?.querySelector(".paging");
    if (!paging) return;
    const length = Number(paging.dataset.length);
    const most = Number(table.dataset.most ?? length);
    let fitting = 0;
    for (const body of table.tBodies) {
      const pinned = body.classList.contains("pinned");
      let inBody = 0;
      for (const row of all("tr[data-row]", body)) {
        const fits = pinned || row.dataset.fits !== "no";
        fitting += fits && !pinned;
        delete row.dataset.beyond;
        row.hidden = !fits || (!pinned && fitting > most);
        inBody += !row.hidden;
      }
      body.hidden = inBody === 0;
    }
    paging.hidden = fitting <= most;
    paging.querySelector("output").value = paging.hidden ? "" : `The first ${most} of ${fitting} rows that fit, in this order.`;
    paging.querySelector("button").textContent = `Show ${Math.min(length, Math.max(0, fitting - most))} more`;
  };
  for (const button of all(".paging button")) {
    button.addEventListener("click", () => {
      const table = button.closest("figure").querySelector("table.board");
      table.dataset.most = Number(table.dataset.most ?? button.parentElement.dataset.length) + Number(button.parentElement.dataset.length);
      page(table);
    });
  }

  const sort = (table, heading) => {
    const next = { none: "ascending", ascending: "descending", descending: "none" }[heading.getAttribute("aria-sort")];
    for (const other of all("thead th[aria-sort]", table)) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", next);
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.classList.contains("block"));
      const placed = rows.map((row) => ({ row, key: keyOf(row.cells[heading.cellIndex]), place: Number(row.dataset.place) }));
      placed.sort((a, b) => {
        if (next === "none") return a.place - b.place;
        if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.place - b.place;
        return (next === "ascending" ? 1 : -1) * compare(a.key, b.key) || a.place - b.place;
      });
      body.append(...placed.map((item) => item.row));
    }
    page(table);
  };
  for (const table of all("table.sortable")) {
    for (const button of all("thead th button", table)) button.addEventListener("click", () => sort(table, button.closest("th")));
  }

  const form = document.getElementById("filters");
  if (form) {
    const fields = form.elements;
    const apply = () => {
      const text = fields.text.value.trim().toLocaleLowerCase();
      const wanted = ["lock", "attack", "threat"].filter((name) => fields[name].value !== "");
      const narrowed = text !== "" || wanted.length > 0;
      let shown = 0;
      let total = 0;
      for (const group of all("section.group")) {
        const here = ["scenario", "model"].every((name) => !fields[name] || fields[name].value === "" || fields[name].value === group.dataset[name]);
        let inGroup = 0;
        for (const table of all("table.board", group)) {
          for (const row of all("tr[data-row]", table)) {
            const fits = wanted.every((name) => row.dataset[name] === fields[name].value) && (text === "" || row.textContent.toLocaleLowerCase().includes(text));
            row.dataset.fits = fits ? "yes" : "no";
            inGroup += fits;
            total += 1;
            shown += here && fits;
          }
          page(table);
        }
        group.hidden = !here || (narrowed && inGroup === 0);
      }
      fields.count.value = `${shown} of ${total} rows fit; controls stay in sight`;
      document.getElementById("nothing").hidden = shown > 0;
    };
    form.hidden = false;
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
    apply();
  } else {
    all("table.board").forEach(page);
  }

  // A link to a row's command opens what is folded around it.
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  };
  window.addEventListener("hashchange", reveal);
  reveal();

  // Paper has no folds: what is folded is printed, and folded again.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = all("details.notes:not([open])");
    for (const notes of folded) notes.open = true;
  });
  window.addEventListener("afterprint", () => folded.forEach((notes) => { notes.open = false; }));

  const charts = all(".chart");
  if (!charts.length || typeof Plotly === "undefined") return;
  const axes = (layout) => Object.keys(layout).filter((name) => /^[xy]axis/.test(name));
  const colours = () => {
    const style = getComputedStyle(root);
    return { ink: style.getPropertyValue("--ink").trim(), grid: style.getPropertyValue("--line").trim(), paper: style.getPropertyValue("--raised").trim(), font: style.fontFamily };
  };
  const themed = (layout) => {
    const { ink, grid, paper, font } = colours();
    const out = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false, autosize: true };
    out.font = { color: ink, family: font, size: 13 };
    out.hoverlabel = { bgcolor: paper, bordercolor: grid, font: { color: ink } };
    for (const name of axes(layout)) out[name] = { ...layout[name], gridcolor: grid, linecolor: grid, fixedrange: true };
    return out;
  };
  // Bars hide a grey interval; ink shows on every bar.
  const inked = (data) => data.map((trace) => (trace.type === "bar" ? { ...trace, error_x: { ...trace.error_x, color: colours().ink } } : trace));
  const plot = (how, node, figure) => how(node, inked(figure.data), themed(figure.layout), { responsive: true, displayModeBar: false });
  const figures = new Map();
  const draw = (node) => {
    if (figures.has(node)) return;
    const figure = JSON.parse(document.getElementById(node.dataset.figure).textContent);
    figures.set(node, figure);
    plot(Plotly.newPlot, node, figure);
  };
  const again = () => figures.forEach((figure, node) => plot(Plotly.react, node, figure));
  const watcher = new IntersectionObserver((entries) => entries.forEach((entry) => entry.isIntersecting && draw(entry.target)), { rootMargin: "600px" });
  charts.forEach((node) => watcher.observe(node));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  matchMedia("print").addEventListener("change", again);
  window.addEventListener("beforeprint", () => charts.forEach(draw));
})();
