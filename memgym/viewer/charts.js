// Small charts over the steps: one bar per step, the current one coloured; a click goes there.

const HIGH = 36;

function svg(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

class Chart {
  /** A chart of one value per step, written by format; goTo is called with the step that was clicked. */
  constructor(name, meaning, values, format, goTo) {
    this.values = values;
    this.format = format;
    const [low, high] = values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [0, 0]);
    this.top = high || (low ? 0 : 1);
    this.span = this.top - low;
    this.number = make("b", "");
    const caption = make("figcaption", "", make("span", "quiet", name), this.number);
    caption.title = meaning;
    this.node = make("figure", "chart", caption, this.draw(name, goTo));
  }

  height(value) {
    return ((this.top - value) / this.span) * HIGH;
  }

  bar(index) {
    const zero = this.height(0).toFixed(2);
    const width = this.values.length > 60 ? 1 : 0.8;
    const left = index + (1 - width) / 2;
    return `M${left} ${zero}V${this.height(this.values[index]).toFixed(2)}h${width}V${zero}z`;
  }

  draw(name, goTo) {
    const count = this.values.length;
    const drawing = svg("svg", { viewBox: `0 0 ${count} ${HIGH}`, preserveAspectRatio: "none", role: "img" });
    const mean = this.values.reduce((sum, value) => sum + value, 0) / count;
    drawing.setAttribute("aria-label", `${name} over ${many(count, "step")}, ${share(mean)} on average`);
    const all = [...this.values.keys()].filter((index) => this.values[index]);
    const path = (kind, which) => svg("path", { class: kind, d: which.map((index) => this.bar(index)).join("") });
    this.here = svg("rect", { class: "here", y: 0, height: HIGH, width: Math.max(1, count / 60) });
    this.current = svg("path", { class: "bar" });
    const zero = this.height(0);
    drawing.append(
      svg("line", { class: "zero", x1: 0, x2: count, y1: zero, y2: zero, "vector-effect": "non-scaling-stroke" }),
      path("bars", all.filter((index) => this.values[index] > 0)),
      path("bars below", all.filter((index) => this.values[index] < 0)),
      this.here,
      this.current,
    );
    drawing.addEventListener("click", (event) => {
      const box = drawing.getBoundingClientRect();
      goTo(Math.floor(((event.clientX - box.left) / box.width) * count));
    });
    return drawing;
  }

  show(step) {
    this.number.textContent = this.format(this.values[step]);
    const wide = Number(this.here.getAttribute("width"));
    this.here.setAttribute("x", step + 0.5 - wide / 2);
    this.current.setAttribute("d", this.bar(step));
  }
}

/** Draw the charts of an episode and return a function that shows a step in all of them. */
function drawCharts(data, goTo) {
  const paid = "what the policy was paid: the weighted sum of the terms";
  const series = [["reward", paid, (step) => step.reward, share]];
  for (const [term, meaning] of Object.entries(data.terms)) series.push([term, meaning, (step) => step.terms[term] ?? 0, share]);
  series.push(["memory tokens", "tokens of the whole memory after the step", (step) => step.memory_tokens, whole]);
  const charts = series.map(([name, meaning, value, format]) => new Chart(name, meaning, data.steps.map(value), format, goTo));
  byId("charts").append(...charts.map((chart) => chart.node));
  return (step) => charts.forEach((chart) => chart.show(step));
}
