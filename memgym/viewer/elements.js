// Making elements. Text of the trace gets into the page by textContent alone, here and nowhere else.

const byId = (id) => document.getElementById(id);

/** An element with a class and children, which are elements or strings. */
function make(tag, kind, ...children) {
  const node = document.createElement(tag);
  if (kind) node.className = kind;
  node.append(...children);
  return node;
}

/** An element for text from the trace, which may run in either direction. */
function free(tag, text, kind = "free") {
  const node = make(tag, kind);
  node.dir = "auto";
  node.textContent = text;
  return node;
}

function button(kind, label, action) {
  const node = make("button", kind, label);
  node.type = "button";
  node.addEventListener("click", action);
  return node;
}

/** Text in pieces, of which some stayed, went ("-") or came ("+"). */
function pieces(parts) {
  const node = free("p", "");
  for (const [kind, text] of parts) {
    if (kind === "=") node.append(text);
    else node.append(make(kind === "-" ? "del" : "ins", "", text));
  }
  return node;
}

/** Text in which the passages that occur in it are marked. */
function marked(tag, text, passages) {
  const node = free(tag, "");
  const folded = text.toLowerCase();
  // Folding may change the length of a text; then only passages that are literally there are marked.
  const same = folded.length === text.length;
  const spans = [];
  for (const passage of passages) {
    let from = text.indexOf(passage);
    if (from < 0 && same) from = folded.indexOf(passage.toLowerCase());
    if (passage && from >= 0) spans.push([from, from + passage.length]);
  }
  spans.sort((a, b) => a[0] - b[0]);
  let end = 0;
  for (const [from, to] of spans) {
    if (from < end) continue;
    node.append(text.slice(end, from), make("mark", "", text.slice(from, to)));
    end = to;
  }
  node.append(text.slice(end));
  return node;
}

const share = (value) => value.toFixed(3);

const whole = (value) => value.toLocaleString("en");

const many = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
