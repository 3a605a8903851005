// The run, column by column: the slider, the picture at that time, the timeline, the state.

let RUN = DATA.run;
const STATUSES = ["done", "caught", "failed", "running", "interrupted", "pending"];
const looks = new Map();
const labels = new Map();
let column = 0;
let following = true;
let playing = 0;

const slider = byId("slider");
const columns = () => (RUN ? RUN.frames.length : 0);

for (let i = 0; i < DATA.edges.length; i++) labels.set("e" + i, DATA.edges[i][2]);

/** Shows the run after so many columns; 0 is before its first superstep. */
function show(wanted) {
  if (!RUN) return;
  column = Math.min(Math.max(0, wanted), columns());
  looks.clear();
  const taken = new Map();
  for (let i = 0; i < column; i++) {
    const frame = RUN.frames[i];
    for (const id in frame.n) looks.set(id, frame.n[id]);
    for (const id in frame.e) taken.set(id, frame.e[id]);
  }
  const now = new Set(column && !(column === columns() && RUN.done) ? RUN.frames[column - 1].now : []);
  for (const id in DATA.boxes) paintBox(id, looks.get(id), now.has(id));
  for (const e of edges) paintEdge(e, taken.get(e.id));
  paintMarks(taken);
  for (const group of svg.querySelectorAll(".mark, .callout")) group.toggleAttribute("hidden", column !== columns());
  slider.max = String(columns());
  slider.value = String(column);
  const told = moment();
  slider.setAttribute("aria-valuetext", told);
  byId("step").textContent = told;
  paintScore();
  paintState();
  if (picked) pick(picked);
}

function moment() {
  if (!column) return "before the start";
  const ends = RUN.ends[column - 1];
  const inner = column > 1 && RUN.ends[column - 2] === ends || ends === 0;
  return inner ? `column ${column} of ${columns()}` : `superstep ${ends} of ${RUN.supersteps}`;
}

function paintBox(id, look, now) {
  const box = DATA.boxes[id];
  const group = nodes.get(id);
  if (!group || box.mark) return;
  group.classList.remove(...STATUSES, "untaken", "resumes", "now");
  group.classList.add(look && look[0] ? look[0] : "untaken");
  group.classList.toggle("now", now);
  const rows = look && look[1] ? [look[1]] : box.quiet;
  const texts = group.querySelectorAll("text.quiet");
  texts.forEach((text, i) => {
    text.textContent = rows[i] || "";
    text.classList.toggle("said", Boolean(look && look[1]));
  });
  if (box.y !== undefined) {
    const top = box.y + 4.55 - (13 * rows.length) / 2;
    group.querySelector("text.name").setAttribute("y", top);
    texts.forEach((text, i) => text.setAttribute("y", top + 1 + 13 * (i + 1)));
  }
  group.setAttribute("aria-label", look && look[1] ? `${box.details} · ${look[1]}` : box.details);
}

function paintEdge(edge, taken) {
  const group = nodes.get(edge.id);
  if (!group || DATA.edges[edge.id.slice(1)][4] === "compensation") return;
  const passed = Boolean(taken && taken[0]);
  group.classList.toggle("taken", passed);
  group.classList.toggle("untaken", !passed);
  const label = taken ? taken[1] : RUN.labels[edge.id.slice(1)];
  labels.set(edge.id, label);
  const text = group.querySelector("text.label");
  if (text) text.textContent = label;
}

/** START, END, joins: reached when an edge at them was taken. */
function paintMarks(taken) {
  const reached = new Set();
  const bars = new Map();
  for (const e of edges) {
    const passed = Boolean(taken.get(e.id)?.[0]);
    const bar = DATA.edges[e.id.slice(1)][5];
    if (bar) bars.set(bar, (bars.get(bar) ?? true) && passed);
    if (passed) for (const end of [e.source, e.target]) reached.add(end);
  }
  for (const id in DATA.boxes) {
    const box = DATA.boxes[id];
    if (!box.mark) continue;
    const on = bars.has(id) ? bars.get(id) : reached.has(id) || (box.kind === "start" && column > 0 && entered(box));
    for (const group of [nodes.get(id), svg.querySelector(`[data-stem="${id}"]`)]) {
      group?.classList.toggle("taken", on);
      group?.classList.toggle("untaken", !on);
    }
  }
}

function entered(box) {
  return !box.in || Boolean(looks.get(box.in)?.[0]);
}

/** The names of the rows stay where they are, however far the timeline is scrolled. */
function pin() {
  const score = byId("score");
  score.querySelector(".names")?.setAttribute("transform", `translate(${score.scrollLeft} 0)`);
}

function paintScore() {
  const score = byId("score");
  for (const note of score.querySelectorAll("[data-col]")) {
    note.classList.toggle("later", Number(note.dataset.col) >= column);
  }
  const cursor = score.querySelector(".cursor");
  if (!cursor) return;
  const { left, wide } = RUN.staff;
  cursor.setAttribute("x", left + wide * Math.max(0, column - 1));
  cursor.setAttribute("width", column ? wide : 0);
  const x = left + wide * column;
  if (x > score.scrollLeft + score.clientWidth || x < score.scrollLeft + left) {
    score.scrollLeft = Math.max(0, x - score.clientWidth / 2);
  }
  pin();
}

// --- the state

/** The states up to one, put together from their differences; the change of the last one with it. */
function stateAt(index) {
  const values = new Map();
  let change = new Map();
  let gone = [];
  for (let i = 0; i <= index; i++) {
    const step = RUN.states[i];
    change = new Map();
    gone = step.gone.map((key) => [key, values.get(key)]);
    for (const key of step.gone) values.delete(key);
    for (const key in step.v) {
      const [head, tail, lines] = step.v[key];
      const old = values.get(key) || [];
      change.set(key, { head, tail, old });
      values.set(key, [...old.slice(0, head), ...lines, ...old.slice(old.length - tail)]);
    }
  }
  return { values, change, gone };
}

function paintState() {
  const box = byId("state-text");
  if (!RUN.states.length) return;
  const reached = Math.max(RUN.first, column ? RUN.ends[column - 1] : 0);
  let index = -1;
  RUN.states.forEach((state, i) => {
    if (state.s <= reached) index = i;
  });
  if (index < 0) {
    byId("state-at").textContent = "";
    box.replaceChildren(make("p", `The states that are known begin after superstep ${RUN.states[0].s}.`));
    return;
  }
  const { values, change, gone } = stateAt(index);
  const whole = byId("whole").checked;
  byId("state-at").textContent = RUN.states[index].s ? `after superstep ${RUN.states[index].s}` : "at the start";
  box.replaceChildren();
  const keys = [...values.keys()].sort((a, b) => change.has(b) - change.has(a));
  for (const key of keys) {
    const changed = change.get(key);
    if (!changed && !whole) {
      box.append(make("h3", `${key} · as before`));
      continue;
    }
    const title = make("h3", changed ? `${key} ≠` : key);
    if (changed) title.className = "changed";
    box.append(title, lines(values.get(key), changed, whole));
  }
  for (const [key, old] of gone) {
    box.append(make("h3", `${key} − removed`), lines([], { head: 0, tail: 0, old: old || [] }, whole));
  }
  if (!keys.length && !gone.length) box.append(make("p", "The state is empty."));
}

function lines(now, changed, whole) {
  const block = document.createElement("pre");
  const same = (rows) => {
    for (const row of rows) block.append(make("span", row, "same"));
  };
  if (!changed) {
    same(whole ? now : now.slice(0, 3));
    return block;
  }
  const { head, tail, old } = changed;
  const context = whole ? Infinity : 2;
  const before = now.slice(0, head);
  if (before.length > context) block.append(asBefore(before.length - context));
  same(before.slice(-context));
  for (const row of old.slice(head, old.length - tail)) block.append(make("del", row));
  for (const row of now.slice(head, now.length - tail)) block.append(make("ins", row));
  const after = now.slice(now.length - tail);
  same(after.slice(0, context));
  if (after.length > context) block.append(asBefore(after.length - context));
  return block;
}

function asBefore(count) {
  return make("span", `… ${count} line${count === 1 ? "" : "s"} as before`, "same");
}

// --- the player

function step(by) {
  show(column + by);
  following = column === columns();
}

function play(on) {
  clearInterval(playing);
  playing = 0;
  byId("play").setAttribute("aria-pressed", String(on));
  byId("play").textContent = on ? "Pause" : "Play";
  if (!on) return;
  if (column === columns()) show(0);
  const pause = Math.min(450, Math.max(60, 12000 / (columns() || 1)));
  playing = setInterval(() => {
    step(1);
    if (column === columns()) play(false);
  }, pause);
}

if (RUN) {
  slider.addEventListener("input", () => {
    show(Number(slider.value));
    following = column === columns();
  });
  byId("back").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("play").addEventListener("click", () => play(!playing));
  byId("whole").addEventListener("change", paintState);
  byId("score").addEventListener("scroll", pin);
  byId("score").addEventListener("click", (event) => {
    const note = event.target.closest("[data-col]");
    if (!note) return;
    show(Number(note.dataset.col) + 1);
    following = column === columns();
    if (note.dataset.n) pick(note.dataset.n);
  });
}
