// The text: every chunk, the current one in full, and where the open question has its evidence.

class ChunkPane {
  constructor(data, goTo) {
    this.texts = data.chunks;
    this.shown = new Map(); // chunk -> passages marked in it
    this.firstStep = new Map();
    data.steps.forEach((step, index) => {
      if (!this.firstStep.has(step.chunk)) this.firstStep.set(step.chunk, index);
    });
    this.rows = data.chunks.map((text, index) => this.row(text, index, data, goTo));
    byId("chunk-list").append(...this.rows);
    byId("chunks-count").textContent = whole(data.chunks.length);
  }

  /** The first step on a chunk; a recording that breaks off has none for the last ones. */
  stepOf(chunk) {
    return this.firstStep.get(chunk) ?? Infinity;
  }

  row(text, index, data, goTo) {
    const wanted = data.questions.filter((question) => question.evidence.some((item) => item.chunk === index)).length;
    const head = button("", `Chunk ${index + 1}`, () => goTo(this.stepOf(index)));
    if (wanted) head.append(make("span", "count", `evidence for ${many(wanted, "question")}`));
    return make("li", "chunk", head, free("p", text));
  }

  /** Show where a step stands; question is the open one, or undefined. */
  show(chunk, question) {
    const passages = new Map();
    for (const item of question ? question.evidence : []) {
      passages.set(item.chunk, [...(passages.get(item.chunk) ?? []), item.text]);
    }
    this.mark(passages);
    this.rows.forEach((row, index) => {
      const place = index === chunk ? " current" : index > chunk ? " coming" : "";
      const kind = `chunk${place}${passages.has(index) ? " holds" : ""}`;
      if (row.className !== kind) row.className = kind;
      if (index === chunk) row.setAttribute("aria-current", "step");
      else row.removeAttribute("aria-current");
    });
    this.current = chunk;
  }

  lead() {
    const row = this.rows[this.current];
    scrollTo(byId("chunks"), row);
    const evidence = row.querySelector("mark");
    if (evidence) scrollTo(byId("chunks"), evidence);
  }

  mark(passages) {
    for (const index of this.shown.keys()) {
      if (!passages.has(index)) this.fill(index, []);
    }
    for (const [index, texts] of passages) this.fill(index, texts);
    this.shown = passages;
  }

  fill(index, texts) {
    this.rows[index].lastChild.replaceWith(marked("p", this.texts[index], texts));
  }
}

/** Bring an element into view inside its pane, and leave the page where it is. */
function scrollTo(pane, node) {
  if (pane.scrollHeight <= pane.clientHeight) return;
  const from = node.getBoundingClientRect().top - pane.getBoundingClientRect().top;
  if (from < 0 || from + node.offsetHeight > pane.clientHeight) pane.scrollTop += from - 8;
}
