// The questions: how each was answered, from which items, and why the answer was wrong.

class QuestionPane {
  /** open(index) is called with a question that is chosen, goTo(step) with a step. */
  constructor(data, textAt, open, goToChunk) {
    Object.assign(this, { data, textAt, goToChunk, opened: -1 });
    this.rows = data.questions.map((question, index) => this.row(question, index, open));
    byId("question-list").append(...this.rows);
    const wrong = data.questions.filter((question) => question.score < 1).length;
    byId("questions-count").textContent = `${data.questions.length}, ${wrong} wrong`;
    this.outcomes(wrong);
    byId("outcome").addEventListener("change", () => this.filter());
    this.filter();
  }

  row(question, index, open) {
    const head = button("", "", () => open(this.opened === index ? -1 : index));
    head.append(make("span", "number", String(index + 1)), free("span", question.question), verdict(question));
    head.setAttribute("aria-expanded", "false");
    return make("li", "question", head);
  }

  outcomes(wrong) {
    const count = (cause) => this.data.questions.filter((question) => question.cause === cause).length;
    const options = [["", "all", this.data.questions.length], ["right", "right", this.data.questions.length - wrong]];
    options.push(["wrong", "wrong", wrong]);
    for (const cause of Object.keys(this.data.causes)) options.push([cause, cause.replaceAll("_", " "), count(cause)]);
    for (const [value, name, number] of options) {
      const option = make("option", "", `${name} (${number})`);
      option.value = value;
      byId("outcome").append(option);
    }
  }

  filter() {
    const wanted = byId("outcome").value;
    let shown = 0;
    this.data.questions.forEach((question, index) => {
      const outcome = question.score < 1 ? "wrong" : "right";
      this.rows[index].hidden = wanted !== "" && wanted !== outcome && wanted !== question.cause;
      shown += !this.rows[index].hidden;
    });
    byId("question-count").textContent = `${shown} shown`;
  }

  /** Open one question, or none with -1. */
  show(index) {
    if (index === this.opened) return;
    if (this.opened >= 0) {
      this.rows[this.opened].firstChild.setAttribute("aria-expanded", "false");
      this.rows[this.opened].lastChild.remove();
    }
    this.opened = index;
    if (index < 0) return;
    const row = this.rows[index];
    row.hidden = false;
    row.firstChild.setAttribute("aria-expanded", "true");
    row.append(this.details(this.data.questions[index]));
  }

  lead() {
    if (this.opened >= 0) scrollTo(byId("questions"), this.rows[this.opened]);
  }

  details(question) {
    const list = make("dl", "");
    const add = (name, ...nodes) => nodes.length && list.append(make("dt", "", name), make("dd", "", ...nodes));
    if (question.cause) add("Cause", make("strong", "", question.cause.replaceAll("_", " ")), `. ${this.data.causes[question.cause]}`);
    if (question.failed) add("Reader", "It broke down on this question.");
    add("Gold", ...question.gold.map((gold) => free("p", gold)));
    add("Evidence", ...question.evidence.map((item) => this.passage(item)));
    add("Answer", ...this.answer(question));
    add("Retrieved", ...this.retrieved(question));
    add("Asked", `after step ${question.step + 1}; score ${share(question.score)}`);
    return list;
  }

  answer(question) {
    if (!question.prediction.trim()) return [make("span", "quiet", "none")];
    const text = marked("div", question.prediction, question.gold);
    text.classList.add("answer");
    text.tabIndex = 0;
    text.setAttribute("role", "group");
    text.setAttribute("aria-label", "Answer");
    return [text];
  }

  passage(item) {
    const go = button("", `chunk ${item.chunk + 1}`, () => this.goToChunk(item.chunk));
    return make("div", "passage", go, free("span", item.text));
  }

  /** The items as they were when the question was asked. */
  retrieved(question) {
    if (!question.memory_ids.length) return [make("span", "quiet", "nothing")];
    return question.memory_ids.map((id, place) => {
      const text = marked("span", this.textAt(id, question.step), question.gold);
      return make("div", "passage", make("span", "rank", `${place + 1} ${id}`), text);
    });
  }
}

function verdict(question) {
  if (question.score >= 1) return make("span", "verdict right", "right");
  const kind = question.score > 0 ? "part" : "wrong";
  return make("span", `verdict ${kind}`, question.cause.replaceAll("_", " ") || "wrong");
}
