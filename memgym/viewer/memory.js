// The memory after a step, with what the step did to it and what the open question retrieved.

const SIGNS = { inserted: "+", edited: "~", deleted: "−" };
const BLOCK = 50; // rows that are laid out together, once they come near the window
const STORES = { c: "Core", s: "Semantic", e: "Episodic" };

class MemoryPane {
  constructor(data) {
    this.steps = data.steps;
    this.pane = byId("memory-scroll");
    this.histories = histories(data.steps);
    this.rows = [];
    this.blocked = [];
    this.stores = Object.entries(STORES).map(([letter, title]) => this.store(letter, title));
    this.pane.append(...this.stores.map((store) => store.node));
    byId("filter").addEventListener("input", () => this.filter());
    byId("shown").addEventListener("change", () => this.filter());
  }

  /** One part of the memory: a row per item that ever is in it, filled when it is first there. */
  store(letter, title) {
    const count = make("span", "count");
    const rows = [];
    for (const history of this.histories.values()) {
      if (history.id[0] !== letter) continue;
      const node = make("li", "item");
      node.hidden = true;
      rows.push({ history, node, version: undefined, mark: "", rank: undefined });
    }
    this.rows.push(...rows);
    const heading = make("h3", "", title, count);
    return { letter, count, rows, node: make("div", "store", heading, ...this.blocks(rows)) };
  }

  blocks(rows) {
    const blocks = [];
    for (let start = 0; start < rows.length; start += BLOCK) {
      const part = rows.slice(start, start + BLOCK);
      const node = make("ol", "plain block", ...part.map((row) => row.node));
      node.start = start + 1;
      blocks.push({ node, rows: part, shown: -1 });
    }
    this.blocked.push(...blocks);
    return blocks.map((block) => block.node);
  }

  textAt(id, step) {
    const history = this.histories.get(id);
    return (history && versionAt(history, step)?.text) ?? "";
  }

  /** Show the memory after a step; ranks maps the ids that the open question retrieved. */
  show(step, ranks) {
    for (const row of this.rows) {
      const version = versionAt(row.history, step);
      const mark = version && version.step === step ? version.change.kind : "";
      const there = version && (version.text !== null || mark) ? version : undefined;
      const rank = ranks.get(row.history.id);
      if (row.version === there && row.mark === mark && row.rank === rank) continue;
      Object.assign(row, { version: there, mark, rank });
      if (there) this.fill(row);
    }
    this.counts(step);
    this.filter();
  }

  /** Bring into view what is to be looked at: the best item retrieved, else the first that changed. */
  lead() {
    const there = this.rows.filter((row) => row.version);
    const first = there.find((row) => row.rank === 1) ?? there.find((row) => row.mark);
    if (first) scrollTo(this.pane, first.node);
  }

  fill({ history, node, version, mark, rank }) {
    const isCore = history.id[0] === "c";
    node.className = `item ${mark}${isCore ? " core" : ""}${rank ? " retrieved" : ""}`;
    const text = mark && mark !== "inserted" ? pieces(version.change.parts) : free("p", version.text);
    if (rank) text.prepend(make("span", "rank", `retrieved ${rank}`));
    const sign = make("span", "sign", SIGNS[mark] ?? "");
    sign.setAttribute("aria-hidden", "true");
    const id = make("span", "id", isCore ? "" : history.id);
    if (mark) text.prepend(make("span", "aside", `${mark}: `));
    node.replaceChildren(sign, id, text);
  }

  counts(step) {
    for (const store of this.stores) {
      const held = store.rows.filter((row) => row.version && row.version.text !== null).length;
      store.count.textContent = store.letter === "c" ? (held ? "" : "empty") : many(held, "item");
    }
    const { memory_items: items, memory_tokens: tokens } = this.steps[step];
    byId("memory-count").textContent = `after step ${step + 1}: ${many(items, "item")}, ${many(tokens, "token")}`;
    byId("memory-changes").replaceChildren(...Object.keys(SIGNS).flatMap((kind) => this.chip(step, kind)));
  }

  /** A button that leads to what was inserted, edited or deleted, if anything was. */
  chip(step, kind) {
    const changed = this.steps[step].changes.filter((change) => change.kind === kind);
    if (!changed.length) return [];
    const rows = this.rows.filter((row) => row.version && row.mark === kind);
    let next = 0;
    const go = () => rows[next++ % rows.length].node.scrollIntoView({ block: "nearest" });
    const node = button(`chip ${kind}`, `${SIGNS[kind]}${changed.length} ${kind}`, go);
    node.title = `Show the next one that was ${kind}`;
    return [node];
  }

  filter() {
    const words = byId("filter").value.trim().toLowerCase();
    const wanted = byId("shown").value;
    for (const block of this.blocked) {
      let shown = 0;
      for (const row of block.rows) {
        const kept = this.fits(row, wanted, words);
        if (row.node.hidden === kept) row.node.hidden = !kept;
        shown += kept;
      }
      if (shown === block.shown) continue;
      block.shown = shown;
      block.node.hidden = !shown;
      block.node.style.containIntrinsicBlockSize = `auto ${shown * 1.9}rem`;
    }
  }

  fits(row, wanted, words) {
    if (!row.version) return false;
    if (wanted === "changed" && !row.mark) return false;
    if (wanted === "retrieved" && !row.rank) return false;
    return !words || this.holds(row, words);
  }

  holds(row, words) {
    if (row.history.id === words) return true;
    return row.version.change.parts.some(([, text]) => text.toLowerCase().includes(words)) ||
      (row.version.text ?? "").toLowerCase().includes(words);
  }
}
