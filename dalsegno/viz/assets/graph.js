// The graph on the page: move, zoom, focus, follow the edges, fold.

const svg = byId("graph");
const full = svg.getAttribute("viewBox").split(" ").map(Number);
let view = full.slice();

const nodes = new Map();
for (const group of svg.querySelectorAll("[data-id]")) nodes.set(group.dataset.id, group);
const edges = DATA.edges.map(([source, target], i) => ({ id: "e" + i, source, target }));

// --- moving and zooming: the view box is what is seen

function look(x, y, w, h) {
  view = [x, y, w, h];
  svg.setAttribute("viewBox", view.join(" "));
}

function pixel() {
  const box = svg.getBoundingClientRect();
  return Math.max(view[2] / (box.width || 1), view[3] / (box.height || 1));
}

function zoom(factor, cx, cy) {
  const w = Math.min(Math.max(view[2] / factor, full[2] / 60), full[2] * 4);
  const k = w / view[2];
  const px = cx ?? view[0] + view[2] / 2;
  const py = cy ?? view[1] + view[3] / 2;
  look(px - (px - view[0]) * k, py - (py - view[1]) * k, w, view[3] * k);
}

function fit() {
  look(...full);
}

/** A large graph begins at its top, large enough to be read. */
function begin() {
  fit();
  const smallest = 1 / 0.55;
  if (pixel() > smallest) {
    const box = svg.getBoundingClientRect();
    const start = svg.querySelector(".node.start");
    const at = start ? center(start) : [full[0] + full[2] / 2, full[1]];
    const [w, h] = [box.width * 1.25, box.height * 1.25];
    look(at[0] - w / 2, full[1], w, h);
  }
}

function spot(event) {
  const point = new DOMPoint(event.clientX, event.clientY);
  return point.matrixTransform(svg.getScreenCTM().inverse());
}

svg.addEventListener("wheel", (event) => {
  event.preventDefault();
  const at = spot(event);
  zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), at.x, at.y);
}, { passive: false });

const fingers = new Map();
let moved = false;
svg.addEventListener("pointerdown", (event) => {
  fingers.set(event.pointerId, event);
  moved = false;
});
svg.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
  if (fingers.size === 2) {
    const other = [...fingers.values()].find((e) => e.pointerId !== event.pointerId);
    const far = (a) => Math.hypot(a.clientX - other.clientX, a.clientY - other.clientY) || 1;
    const at = spot(other);
    zoom(far(event) / far(before), at.x, at.y);
  } else if (moved || Math.hypot(dx, dy) > 4) {
    if (!moved) svg.setPointerCapture(event.pointerId);
    moved = true;
    svg.classList.add("moving");
    const k = pixel();
    look(view[0] - dx * k, view[1] - dy * k, view[2], view[3]);
  } else return;
  fingers.set(event.pointerId, event);
});
for (const kind of ["pointerup", "pointercancel", "pointerleave"]) {
  svg.addEventListener(kind, (event) => {
    fingers.delete(event.pointerId);
    svg.classList.remove("moving");
  });
}

byId("in").addEventListener("click", () => zoom(1.3));
byId("out").addEventListener("click", () => zoom(1 / 1.3));
byId("fit").addEventListener("click", fit);
addEventListener("beforeprint", fit);

function center(group) {
  const box = (group.querySelector(".card, .frame") || group).getBBox();
  return [box.x + box.width / 2, box.y + box.height / 2 + Number(group.dataset.by || 0)];
}

/** Brings a box into view if it is not. */
function reveal(id) {
  const [x, y] = center(nodes.get(id));
  const far = 30;
  if (x < view[0] + far || x > view[0] + view[2] - far || y < view[1] + far || y > view[1] + view[3] - far) {
    look(x - view[2] / 2, y - view[3] / 2, view[2], view[3]);
  }
}

// --- keyboard: one box is in the tab order; arrows follow the edges from it

const boxes = [...svg.querySelectorAll(".node[data-id]")];
let siblings = [];
for (const box of boxes) {
  box.setAttribute("tabindex", box === boxes[0] ? "0" : "-1");
  box.setAttribute("role", "button");
  box.setAttribute("aria-label", DATA.boxes[box.dataset.id].details);
}

function visit(id, around) {
  const box = nodes.get(id);
  if (!box || box.classList.contains("folded")) return false;
  for (const other of boxes) other.setAttribute("tabindex", other === box ? "0" : "-1");
  siblings = around || [id];
  box.focus({ preventScroll: true });
  reveal(id);
  return true;
}

/** The box an edge leads to or comes from: a frame is entered at its first box, a join's bar is passed. */
function landing(id, forward) {
  const box = DATA.boxes[id];
  if (box && box.door) return landing(forward ? box.door[0] : box.door[1], forward);
  return id;
}

function follow(id, forward) {
  const found = edges
    .filter((e) => landing(forward ? e.source : e.target, !forward) === id)
    .map((e) => landing(forward ? e.target : e.source, forward))
    .filter((to) => nodes.has(to) && !nodes.get(to).classList.contains("folded"));
  return [...new Set(found)];
}

svg.addEventListener("keydown", (event) => {
  const fold = event.target.closest(".fold");
  if (fold && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    return toggle(fold.dataset.fold);
  }
  const group = event.target.closest(".node");
  if (!group) return;
  const id = group.dataset.id;
  const step = { ArrowDown: true, ArrowUp: false }[event.key];
  if (step !== undefined) {
    const around = follow(id, step);
    if (around.length) visit(around[0], around);
    else say(step ? "No edge leads on from here." : "No edge leads here.");
  } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    const around = siblings.includes(id) && siblings.length > 1 ? siblings : boxes.map((b) => b.dataset.id);
    const turn = event.key === "ArrowRight" ? 1 : around.length - 1;
    visit(around[(around.indexOf(id) + turn) % around.length], around === siblings ? siblings : null);
  } else if (event.key === "Home") visit(boxes[0].dataset.id);
  else if (event.key === "Enter" || event.key === " ") pick(id);
  else return;
  event.preventDefault();
  event.stopPropagation();
});

// --- what is under the pointer or has the focus, in the graph and in the timeline

function near(id) {
  for (const group of document.querySelectorAll(".near")) group.classList.remove("near");
  if (!id) return;
  if (id[0] !== "e") {
    for (const e of edges) if (e.source === id || e.target === id) nodes.get(e.id)?.classList.add("near");
    for (const note of document.querySelectorAll(`#score [data-n="${id}"]`)) note.classList.add("near");
  }
  nodes.get(id)?.classList.add("near");
}

for (const kind of ["pointerover", "focusin"]) {
  document.addEventListener(kind, (event) => {
    const group = event.target.closest?.("#graph .node[data-id], #graph .edge[data-id], #score [data-n]");
    near(group ? group.dataset.id || group.dataset.n : null);
  });
}

svg.addEventListener("click", (event) => {
  if (moved) return;
  const fold = event.target.closest(".fold");
  if (fold) return toggle(fold.dataset.fold);
  const group = event.target.closest("[data-id]");
  if (group) pick(group.dataset.id);
});

// --- folding

function toggle(id) {
  const close = svg.querySelector(`.fold[data-fold="${id}"]`).getAttribute("aria-expanded") === "true";
  shut([id], close);
  say(`${DATA.boxes[id].name} ${close ? "folded" : "unfolded"}.`);
}

/** Folds or unfolds frames, all at once. */
function shut(ids, close) {
  for (const id of ids) {
    const group = svg.querySelector(`.fold[data-fold="${id}"]`);
    group.setAttribute("aria-expanded", String(!close));
    group.querySelector("text").textContent = close ? "+" : "−";
    nodes.get(id).classList.toggle("shut", close);
  }
  hide();
}

function hide() {
  const shut = new Set([...svg.querySelectorAll(".cluster.shut")].map((g) => g.dataset.id));
  const within = (id) => {
    for (let at = DATA.boxes[id]?.in; at; at = DATA.boxes[at].in) if (shut.has(at)) return true;
    return false;
  };
  for (const id of Object.keys(DATA.boxes)) {
    nodes.get(id)?.classList.toggle("folded", within(id));
    svg.querySelector(`.fold[data-fold="${id}"]`)?.classList.toggle("folded", within(id));
    svg.querySelector(`.summary[data-of="${id}"]`)?.classList.toggle("folded", within(id) || !shut.has(id));
  }
  for (const e of edges) nodes.get(e.id)?.classList.toggle("folded", within(e.source) && within(e.target));
  for (const stem of svg.querySelectorAll("[data-stem]")) {
    stem.classList.toggle("folded", within(stem.dataset.stem));
  }
  squeeze(shut, within);
  if (document.activeElement?.classList?.contains("folded")) boxes.find((b) => !b.classList.contains("folded"))?.focus();
}

byId("fold").addEventListener("click", () => {
  const all = [...svg.querySelectorAll(".fold")];
  const close = all.some((g) => g.getAttribute("aria-expanded") === "true");
  shut(all.map((group) => group.dataset.fold), close);
  byId("fold").textContent = close ? "Unfold" : "Fold";
  say(close ? "Every subworkflow is folded." : "Every subworkflow is unfolded.");
});
