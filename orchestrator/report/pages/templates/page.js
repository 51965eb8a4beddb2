"use strict";
// The table of actions: the rows come as JSON, and are shown a page at a time. Every value becomes text, never markup.
(() => {
  const MOST_PRINTED = 5000;
  const setup = JSON.parse(document.getElementById("setup").textContent);
  const at = Object.fromEntries(setup.fields.map((name, place) => [name, place]));
  const rows = [];
  for (const block of document.querySelectorAll("script.rows")) {
    for (const row of JSON.parse(block.textContent)) rows.push(row);
    block.remove(); // the text is needed no more, and there may be much of it
  }

  const find = (selector) => document.querySelector(selector);
  const body = find("#rows"), blank = find("#row").content.firstElementChild;
  const form = find(".tools"), search = find("#search"), counted = find(".count"), pages = find(".pages");
  const selects = [...document.querySelectorAll("[data-filter-of]")];
  const whole = new Intl.NumberFormat("en-US"), precise = new Intl.NumberFormat("en-US", { maximumFractionDigits: 3 });
  const collator = new Intl.Collator("en", { numeric: true });
  const state = { sort: "", descending: false, page: 0, size: 100, shown: rows };

  const onPage = rows.length < setup.actions ? " on this page" : "";

  const number = (value) => (value === null ? "–" : Number.isInteger(value) ? whole.format(value) : precise.format(value));
  const duration = (seconds) => {
    if (seconds === null) return "–";
    if (seconds < 60) return `${precise.format(seconds)}s`;
    const rounded = Math.round(seconds), minutes = Math.floor(rounded / 60);
    const parts = [[Math.floor(minutes / 60), "h"], [minutes % 60, "m"], [rounded % 60, "s"]];
    return parts.filter(([count]) => count).map((part) => part.join("")).join("");
  };
  const title = (row) => setup.titles[row[at.outcome]];
  const group = (row) => setup.groups[row[at.outcome]];
  const isolated = (text) => {
    const element = document.createElement("bdi");
    element.textContent = text;
    return element;
  };
  const labels = (row) => Object.entries(row[at.labels]).map(([name, value]) => `${name}: ${value}`);
  const breakable = (name) => name.split(/(?<=[a-z])(?=[A-Z])/)
    .flatMap((word, n) => (n ? [document.createElement("wbr"), word] : [word]));
  // Text, or a list of nodes, for each field that is not shown as it is.
  const shown = {
    outcome: title,
    row: (row) => `${row[at.row]}`,
    labels: (row) => [...(setup.sources > 1 ? [row[at.source]] : []), ...labels(row)]
      .flatMap((text, n) => (n ? [" · ", isolated(text)] : [isolated(text)])),
    action_type: (row) => (row[at.action_type] === setup.unknown ? "–" : breakable(row[at.action_type])),
    accepted_at: (row) => (row[at.accepted_at] ? row[at.accepted_at].slice(11, 19) : "–"),
    alone: (row) => duration(row[at.alone]),
    ids: (row) => `${row[at.track_id] ?? ""} ${row[at.request_id] ?? ""}`,
  };
  const numbers = new Set(["attempts", "total", "succeeded", "failed", "unprocessed", "speed", "alone"]);

  // ------------------------------------------------------------------------------ filtering and sorting

  const sought = [];
  const haystack = (index) => (sought[index] ??= [
    at.bulk_key, at.tenant, at.status, at.action_type, at.source, at.error, at.message, at.track_id, at.request_id,
    at.error_ids, at.accepted_at,
  ].map((field) => rows[index][field] ?? "")
    .concat(title(rows[index]), Object.entries(rows[index][at.labels]).map((label) => label.join(": ")))
    .join("\n").toLowerCase());

  const choose = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const filters = selects.filter((select) => select.value).map((select) => [select.dataset.filterOf, select.value]);
    const fits = (row) => filters.every(([field, value]) =>
      row[at[field]] === value || (field === "outcome" && value === "person" && group(row) === "person"));
    state.shown = rows.filter((row, index) => fits(row) && words.every((word) => haystack(index).includes(word)));
    sort();
    state.page = 0;
    show();
  };

  const sort = () => {
    if (!state.sort) return;
    const value = state.sort === "row" ? null : state.sort === "outcome" ? title : (row) => row[at[state.sort]];
    const sign = state.descending ? -1 : 1;
    const missing = (one) => one === null || one === "";
    const compare = (one, other) => (one < other ? -1 : one > other ? 1 : 0);
    const keyed = state.shown.map((row) => [value && value(row), row]);
    keyed.sort(([one, left], [other, right]) => {
      if (!value) return sign * (collator.compare(left[at.source], right[at.source]) || left[at.row] - right[at.row]);
      if (missing(one) || missing(other)) return missing(one) - missing(other); // what is not known comes last, always
      return sign * compare(one, other);
    });
    state.shown = keyed.map(([, row]) => row);
  };

  // ----------------------------------------------------------------------------------------- rendering

  const element = (row) => {
    const line = blank.cloneNode(true);
    for (const cell of line.querySelectorAll("[data-field]")) {
      const field = cell.dataset.field;
      const text = shown[field] ? shown[field](row) : numbers.has(field) ? number(row[at[field]]) : row[at[field]];
      cell.replaceChildren(...(Array.isArray(text) ? text : [text ?? ""]));
      if (field === "outcome") cell.className = `outcome ${group(row)}`;
      if (field === "accepted_at" && row[at.accepted_at]) cell.dateTime = row[at.accepted_at];
    }
    const more = document.createElement("button");
    more.type = "button";
    more.className = "more";
    more.setAttribute("aria-expanded", "false");
    more.setAttribute("aria-label", `Details of ${row[at.bulk_key]}`);
    more.addEventListener("click", () => unfold(more, line, row));
    line.querySelector("th").prepend(more);
    return line;
  };

  const unfold = (more, line, row) => {
    if (more.getAttribute("aria-expanded") === "true") {
      line.nextElementSibling.remove();
      more.setAttribute("aria-expanded", "false");
      return;
    }
    const where = setup.sources > 1 ? `${row[at.source]}, row ${row[at.row]}` : `${row[at.row]}`;
    const facts = {
      "Status": row[at.status], "Action type": row[at.action_type], "Row": where,
      "Stop accepted": row[at.accepted_at], "Stops sent": number(row[at.attempts]), "Track id": row[at.track_id],
      "Request id": row[at.request_id], "Error": [row[at.error], row[at.message]].filter(Boolean).join(": "),
      "Ids of the error": row[at.error_ids], "Note": row[at.notes],
    };
    const named = Object.entries(row[at.labels]).map(([name, value]) => [`Label ${name}`, value]);
    const list = document.createElement("dl");
    for (const [name, value] of [...Object.entries(facts), ...named]) {
      if (!value) continue;
      const pair = list.appendChild(document.createElement("div"));
      pair.appendChild(document.createElement("dt")).appendChild(isolated(name));
      pair.appendChild(document.createElement("dd")).appendChild(isolated(value));
    }
    const detail = document.createElement("tr");
    detail.className = "detail";
    const cell = detail.appendChild(document.createElement("td"));
    cell.colSpan = line.children.length;
    cell.appendChild(list);
    line.after(detail);
    more.setAttribute("aria-expanded", "true");
  };

  const show = () => {
    const last = Math.max(0, Math.ceil(state.shown.length / state.size) - 1);
    state.page = Math.min(Math.max(0, state.page), last);
    const start = state.page * state.size;
    const part = state.shown.slice(start, start + state.size);
    body.replaceChildren(...part.map(element));
    const many = whole.format(state.shown.length), every = whole.format(rows.length);
    counted.textContent = !part.length ? `None of ${every} actions${onPage} matches.`
      : `${whole.format(start + 1)} to ${whole.format(start + part.length)} of ${many} ` +
        (state.shown.length < rows.length ? `matching actions, of ${every}${onPage || " in all"}.` : `actions${onPage}.`);
    find("#page").value = state.page + 1;
    find("#pages").textContent = `of ${whole.format(last + 1)}`;
    find('[data-go="first"]').disabled = find('[data-go="back"]').disabled = state.page === 0;
    find('[data-go="next"]').disabled = find('[data-go="last"]').disabled = state.page === last;
    find("#copied").textContent = "";
  };

  const go = (page) => { state.page = page; show(); };

  // -------------------------------------------------------------------------------------------- events

  for (const heading of document.querySelectorAll("[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    button.addEventListener("click", () => {
      const again = state.sort === heading.dataset.sort;
      const back = again && heading.getAttribute("aria-sort") === (numbers.has(state.sort) ? "ascending" : "descending");
      state.descending = again ? !state.descending : numbers.has(heading.dataset.sort); // numbers: the largest first
      state.sort = back ? "" : heading.dataset.sort;
      for (const other of document.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
      if (!back) heading.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
      choose();
    });
    heading.replaceChildren(button);
  }

  const values = Object.fromEntries(selects.map((select) => [select.dataset.filterOf, new Set()]));
  for (const row of rows) for (const field in values) if (row[at[field]]) values[field].add(row[at[field]]);
  for (const select of selects) {
    const field = select.dataset.filterOf;
    for (const value of [...values[field]].sort(collator.compare)) {
      select.add(new Option(field === "outcome" ? setup.titles[value] : value, value));
    }
    select.parentElement.hidden = values[field].size < 2 && field !== "outcome";
    select.addEventListener("change", choose);
  }

  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(choose, 120); });
  form.addEventListener("submit", (event) => { event.preventDefault(); choose(); });
  form.addEventListener("reset", () => setTimeout(choose));
  find("#size").addEventListener("change", (event) => {
    const first = state.page * state.size;
    state.size = Number(event.target.value);
    go(Math.floor(first / state.size));
  });
  find("#page").addEventListener("change", (event) => go((Number.parseInt(event.target.value, 10) || 1) - 1));
  pages.addEventListener("click", (event) => {
    const where = event.target.dataset?.go;
    if (where) go({ first: 0, back: state.page - 1, next: state.page + 1, last: Infinity }[where]);
  });
  find("#copy").addEventListener("click", async () => {
    const keys = state.shown.map((row) => row[at.bulk_key]).join("\n") + "\n";
    let done = true;
    try { await navigator.clipboard.writeText(keys); } catch { done = false; }
    find("#copied").textContent = done ? `Copied, one a line: ${whole.format(state.shown.length)}.`
      : "This browser does not allow a page to write to the clipboard.";
  });

  // A figure anywhere on the page leads to the actions it counts.
  for (const link of document.querySelectorAll("a[data-filter]")) {
    const choices = selects.find((one) => one.dataset.filterOf === link.dataset.filter);
    if (choices && ![...choices.options].some((option) => option.value === link.dataset.value)) {
      link.removeAttribute("href"); // this page has no room for those actions
      continue;
    }
    link.addEventListener("click", () => {
      form.reset();
      search.value = "";
      const select = selects.find((one) => one.dataset.filterOf === link.dataset.filter);
      if (select) select.value = link.dataset.value;
      setTimeout(choose, 1); // after the reset's own
      find("#actions").focus();
    });
  }

  // A table that is wider than its place says so.
  const measured = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const region = target.closest(".scroll");
      region.classList.toggle("wide", region.scrollWidth > region.clientWidth + 1);
    }
  });
  for (const one of document.querySelectorAll(".scroll, .scroll > table")) measured.observe(one);

  // On paper there are no pages to turn.
  addEventListener("beforeprint", () => {
    const part = state.shown.slice(0, MOST_PRINTED);
    body.replaceChildren(...part.map(element));
    counted.textContent = part.length === state.shown.length ? `${whole.format(part.length)} actions.`
      : `The first ${whole.format(part.length)} of ${whole.format(state.shown.length)} actions; report.json has them all.`;
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
  addEventListener("afterprint", show);

  document.documentElement.classList.add("scripted");
  if (!body) return;
  form.hidden = pages.hidden = false;
  choose();
})();
