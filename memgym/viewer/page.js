// The page: which step and which question are shown, and every way to move between them.

const data = JSON.parse(byId("data").textContent);
const last = data.steps.length - 1;
const state = { step: -1, question: -1, waiting: 0 };
let addressing = 0;

const showCharts = drawCharts(data, (step) => goTo(step));
const chunkPane = new ChunkPane(data, (step) => goTo(step));
const memoryPane = new MemoryPane(data);
const questionPane = new QuestionPane(data, (id, step) => memoryPane.textAt(id, step), open, (chunk) => {
  selectTab("chunks");
  goTo(chunkPane.stepOf(chunk));
});

function goTo(wanted) {
  render(Math.min(Math.max(wanted, 0), last), state.question);
}

/** Open a question and go to where it was asked; -1 closes the one that is open. */
function open(question) {
  if (question >= 0) selectTab("questions");
  render(question < 0 ? state.step : data.questions[question].step, question);
}

/** Take note of what is to be shown; it is drawn once, however many keys come before the next frame. */
function render(step, question) {
  if (step === state.step && question === state.question) return;
  Object.assign(state, { step, question });
  if (!state.waiting) state.waiting = requestAnimationFrame(draw);
}

function draw() {
  const { step, question } = state;
  const opened = data.questions[question];
  const ranks = new Map((opened ? opened.memory_ids : []).map((id, place) => [id, place + 1]));
  state.waiting = 0;
  questionPane.show(question);
  chunkPane.show(data.steps[step].chunk, opened);
  memoryPane.show(step, ranks);
  showCharts(step);
  showCalls(data.steps[step]);
  showPlace(step);
  // Last, as it has to wait for the layout.
  for (const pane of [questionPane, chunkPane, memoryPane]) pane.lead();
}

function showPlace(step) {
  const chunk = data.steps[step].chunk;
  const turn = step - chunkPane.stepOf(chunk);
  const turns = turn || data.steps[step + 1]?.chunk === chunk ? `, turn ${turn + 1}` : "";
  byId("place").textContent = `Step ${step + 1} of ${last + 1} · chunk ${chunk + 1} of ${data.chunks.length}${turns}`;
  byId("slider").value = step + 1;
  byId("slider").setAttribute("aria-valuetext", byId("place").textContent);
  for (const id of ["first", "previous"]) byId(id).disabled = step === 0;
  for (const id of ["next", "last"]) byId(id).disabled = step === last;
  clearTimeout(addressing);
  addressing = setTimeout(showAddress, 250); // browsers refuse to change it too often
}

function showAddress() {
  history.replaceState(null, "", state.question < 0 ? `#step-${state.step + 1}` : `#question-${state.question + 1}`);
}

function showCalls(step) {
  const wrong = step.calls.filter((call) => call.status !== "ok").length;
  byId("calls-count").textContent = `${many(step.calls.length, "call")}${wrong ? `, ${wrong} without effect` : ""}`;
  const rows = step.calls.map((call) => {
    const name = make("span", "name", call.name || "(unreadable)", call.target ? ` ${call.target}` : "");
    const kind = call.message.includes("\n") ? "call long" : "call";
    return make("li", kind, make("span", `status ${call.status}`, call.status), name, free("span", call.message));
  });
  byId("call-list").replaceChildren(...(rows.length ? rows : [make("li", "quiet", "No call was made in this step.")]));
  byId("asked").hidden = !step.question;
  byId("asked-text").textContent = step.question;
  byId("given").hidden = !step.action || !step.action.length;
  if (!byId("given").open) return;
  byId("action").textContent = typeof step.action === "string" ? step.action : JSON.stringify(step.action, null, 1);
}

function selectTab(name) {
  for (const tab of ["chunks", "questions"]) {
    byId(tab).hidden = tab !== name;
    byId(`${tab}-tab`).setAttribute("aria-selected", String(tab === name));
    byId(`${tab}-tab`).tabIndex = tab === name ? 0 : -1;
  }
  if (chunkPane.current !== undefined) (name === "chunks" ? chunkPane : questionPane).lead();
}

const openTab = () => (byId("chunks").hidden ? "questions" : "chunks");

function otherTab() {
  selectTab(openTab() === "chunks" ? "questions" : "chunks");
}

/** Go to the next (1) or previous (-1) place of those for which wanted holds; stay if there is none. */
function seek(from, way, count, wanted) {
  for (let place = from + way; place >= 0 && place < count; place += way) {
    if (wanted(place)) return place;
  }
  return from;
}

function seekChange(way) {
  goTo(seek(state.step, way, last + 1, (step) => data.steps[step].changes.some((change) => change.kind !== "inserted")));
}

function seekWrong(way) {
  const from = way < 0 && state.question < 0 ? data.questions.length : state.question;
  const found = seek(from, way, data.questions.length, (index) => data.questions[index].score < 1);
  if (found !== from) open(found);
}

// ------------------------------------------------------------------ theme and dialogs

const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

function showTheme() {
  byId("theme-button").textContent = isDark() ? "Light" : "Dark";
  byId("theme-button").setAttribute("aria-label", isDark() ? "Light theme" : "Dark theme");
}

function switchTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  showTheme();
}

function showFacts() {
  const list = make("dl", "");
  for (const [name, value] of data.facts) list.append(free("dt", name, ""), free("dd", value, ""));
  byId("facts").append(list);
}

function showHead() {
  byId("episode").textContent = data.id;
  byId("episode").dir = "auto";
  const fact = (name, value) => make("span", "", `${name} `, free("b", value, ""));
  byId("summary").append(
    fact("agent", data.agent),
    fact("score", share(data.score)),
    fact("questions", data.questions.length),
    fact("reward", share(data.reward)),
  );
  for (const cause of Object.keys(data.causes)) {
    const count = data.questions.filter((question) => question.cause === cause).length;
    if (count) byId("summary").append(fact(cause.replaceAll("_", " "), count));
  }
  byId("version").textContent = new Map(data.facts).get("versions.memgym") ?? "";
  if (data.recorded.length) byId("summary").append(fact("as recorded", data.recorded.join(", ").replaceAll("_", " ")));
  if (!data.differences.length) return;
  const list = make("ul", "", ...data.differences.map((line) => free("li", line, "")));
  byId("differences").append(make("strong", "", "This trace does not replay to what it claims."), list);
  byId("differences").hidden = false;
}

// ------------------------------------------------------------------ keys

const KEYS = {
  ArrowLeft: (event) => goTo(state.step - (event.shiftKey ? 10 : 1)),
  ArrowRight: (event) => goTo(state.step + (event.shiftKey ? 10 : 1)),
  Home: () => goTo(0),
  End: () => goTo(last),
  c: () => seekChange(1),
  C: () => seekChange(-1),
  w: () => seekWrong(1),
  W: () => seekWrong(-1),
  q: otherTab,
  t: switchTheme,
  "/": () => byId("filter").focus(),
  "?": () => byId("help").showModal(),
  Escape: () => open(-1),
};

function press(event) {
  const focus = event.target;
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]")) return;
  if (focus === byId("filter") || focus.tagName === "SELECT") {
    if (event.key === "Escape") focus.blur();
    return;
  }
  // A focused slider moves by itself, as every slider does.
  if (focus === byId("slider") && !event.shiftKey && ["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action(event);
}

function pressTab(event) {
  if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  event.preventDefault();
  otherTab();
  byId(`${openTab()}-tab`).focus();
}

/** Show what the address names: a step, or a question. */
function followAddress() {
  const [, kind, number] = /^#(step|question)-([0-9]{1,7})$/.exec(location.hash) ?? [];
  const place = Number(number) - 1;
  if (kind === "question" && data.questions[place]) open(place);
  else goTo(kind === "step" ? place : Math.max(state.step, 0));
}

function start() {
  byId("slider").max = last + 1;
  byId("slider").addEventListener("input", (event) => goTo(Number(event.target.value) - 1));
  byId("first").addEventListener("click", () => goTo(0));
  byId("previous").addEventListener("click", () => goTo(state.step - 1));
  byId("next").addEventListener("click", () => goTo(state.step + 1));
  byId("last").addEventListener("click", () => goTo(last));
  byId("theme-button").addEventListener("click", switchTheme);
  byId("help-button").addEventListener("click", () => byId("help").showModal());
  byId("about-button").addEventListener("click", () => byId("about").showModal());
  byId("given").addEventListener("toggle", () => showCalls(data.steps[state.step]));
  for (const node of document.querySelectorAll("dialog .close")) node.addEventListener("click", () => node.parentNode.close());
  for (const name of ["chunks", "questions"]) byId(`${name}-tab`).addEventListener("click", () => selectTab(name));
  document.querySelector("[role=tablist]").addEventListener("keydown", pressTab);
  document.addEventListener("keydown", press);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
  addEventListener("hashchange", followAddress);
  showTheme();
  showHead();
  showFacts();
  selectTab("chunks");
  followAddress();
}

start();
