// Sorting, filtering and tooltips of the index. All numbers and pictures are in the page already:
// this only shows, hides and orders them, and counts ranks anew among the submissions shown.
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const body = document.querySelector("#board tbody");
  const rows = [...body.rows];
  const heads = [...document.querySelectorAll("#board th[data-sort]")];
  const field = (name) => form.elements[name];
  const textual = new Set(["name"]);
  const small = new Set(["rank", "name", "memory", "cost", "size", "budget"]); // first is least
  let descending = true;

  const cell = (row, key) => row.cells[heads.findIndex((head) => head.dataset.sort === key)];
  const value = (row, key) => {
    const found = key === "score"
      ? cell(row, key).querySelector(`[data-view="${field("view").value}"]`)
      : cell(row, key);
    const text = found ? found.dataset.value : "-1";
    return textual.has(key) ? text : Number(text);
  };
  const compare = (one, other) => (typeof one === "string" ? one.localeCompare(other, "en") : one - other);

  // Whether a row is in the field; the search box only hides.
  const fits = (row) => ["suite", "track", "size", "budget"].every(
    (name) => !field(name).value || row.dataset[name] === field(name).value);
  const found = (row) => cell(row, "name").textContent.toLowerCase()
    .includes(field("search").value.trim().toLowerCase());

  const rank = (inField) => {
    const view = field("view").value;
    const shown = new Set(inField.filter((row) => row.dataset.ranked === "yes").map((row) => row.dataset.slug));
    const ranks = new Map();
    for (const row of inField) {
      const ahead = row.getAttribute(`data-behind-${view.replaceAll("_", "-")}`);
      if (row.dataset.ranked === "no" || ahead === null) continue;
      ranks.set(row, 1 + ahead.split(" ").filter((slug) => shown.has(slug)).length);
    }
    const count = new Map();
    for (const [row, place] of ranks) {
      const key = `${row.dataset.contest} ${place}`;
      count.set(key, (count.get(key) || 0) + 1);
    }
    for (const row of inField) {
      const place = ranks.get(row);
      const shared = count.get(`${row.dataset.contest} ${place}`) > 1;
      cell(row, "rank").dataset.value = place ?? 1e6;
      cell(row, "rank").firstElementChild.textContent = place === undefined ? "–" : shared ? `${place} =` : `${place}`;
    }
  };

  const sort = () => {
    const key = field("sort").value;
    const sign = descending ? -1 : 1;
    rows.sort((one, other) => sign * compare(value(one, key), value(other, key))
      || value(other, "score") - value(one, "score")
      || compare(value(one, "name"), value(other, "name")));
    body.append(...rows);
    for (const head of heads) {
      if (head.dataset.sort === key) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  };

  const show = () => {
    const inField = rows.filter(fits);
    const visible = new Set(inField.filter(found));
    const view = field("view").value;
    rank(inField);
    sort();
    for (const row of rows) row.hidden = !visible.has(row);
    for (const part of document.querySelectorAll("[data-view]")) {
      part.toggleAttribute("hidden", part.dataset.view !== view);
    }
    const slugs = new Set([...visible].map((row) => row.dataset.slug));
    const contests = new Set([...visible].map((row) => row.dataset.contest));
    for (const part of document.querySelectorAll(".pictures")) part.hidden = !contests.has(part.dataset.contest);
    for (const point of document.querySelectorAll(".point")) point.toggleAttribute("hidden", !slugs.has(point.dataset.slug));
    document.getElementById("score-title").textContent =
      view === "overall" ? "Score" : field("view").selectedOptions[0].textContent;
    document.getElementById("none").hidden = visible.size > 0;
    document.getElementById("shown").textContent = `${visible.size} of ${rows.length} submissions shown.`;
  };

  const names = ["suite", "view", "track", "size", "budget", "sort", "search"];
  const first = Object.fromEntries(names.map((name) => [name, field(name).value]));
  const remember = () => {
    const state = new URLSearchParams();
    for (const name of names) if (field(name).value !== first[name]) state.set(name, field(name).value);
    if (descending === small.has(field("sort").value)) state.set("turned", "1");
    history.replaceState(null, "", state.size ? `#${state}` : "#");
  };
  const recall = () => {
    const state = new URLSearchParams(location.hash.slice(1));
    for (const name of names) {
      field(name).value = state.get(name) ?? first[name];
      if (field(name).value === "" && field(name).selectedIndex === -1) field(name).value = first[name];
    }
    descending = small.has(field("sort").value) === state.has("turned");
    show();
  };
  const by = (key, turned) => {
    field("sort").value = key;
    descending = turned ?? !small.has(key);
  };

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { by(first.sort); show(); remember(); }));
  form.addEventListener("input", (event) => {
    if (event.target.name === "sort") by(event.target.value);
    show();
    remember();
  });
  for (const head of heads) {
    head.querySelector("button").addEventListener("click", () => {
      const key = head.dataset.sort;
      by(key, key === field("sort").value ? !descending : undefined);
      show();
      remember();
    });
  }
  addEventListener("hashchange", recall);
  form.hidden = false;
  recall();

  const tip = document.getElementById("tip");
  let told = null; // the point that the tip is about
  const place = () => {
    if (!told) return;
    const mark = told.querySelector(".mark").getBoundingClientRect();
    const left = Math.min(mark.left - 20, innerWidth - tip.offsetWidth - 8);
    const above = mark.top - tip.offsetHeight - 10;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above > 6 ? above : mark.bottom + 10}px`;
  };
  const tell = (point) => {
    told = point;
    tip.hidden = !point;
    if (point) tip.textContent = point.dataset.tip;
    place();
  };
  const pointOf = (event) => event.target.closest?.("[data-tip]") ?? null;
  document.addEventListener("pointerover", (event) => tell(pointOf(event)));
  document.addEventListener("focusin", (event) => tell(pointOf(event)));
  document.addEventListener("focusout", () => tell(null));
  document.addEventListener("scroll", place, { passive: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tell(null); });
})();
