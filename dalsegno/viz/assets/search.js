// Finding nodes by their names.

const field = byId("find");
let hits = [];
let at = -1;

function search() {
  const wanted = field.value.trim().toLocaleLowerCase();
  hits = [];
  at = -1;
  for (const box of boxes) {
    const known = DATA.boxes[box.dataset.id];
    const hit = wanted !== "" && (known.path + " " + known.name).toLocaleLowerCase().includes(wanted);
    box.classList.toggle("found", hit);
    if (hit) hits.push(box.dataset.id);
  }
  svg.classList.toggle("searching", wanted !== "");
  byId("found").textContent = wanted === "" ? "" : String(hits.length);
  if (wanted !== "") say(hits.length === 1 ? "1 node found." : `${hits.length} nodes found.`);
  if (hits.length) reveal(hits[0]);
}

field.addEventListener("input", search);
field.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    field.value = "";
    search();
    field.blur();
  }
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!hits.length) return;
  at = (at + 1) % hits.length;
  const id = hits[at];
  for (let outer = DATA.boxes[id].in; outer; outer = DATA.boxes[outer].in) {
    if (nodes.get(outer).classList.contains("shut")) shut([outer], false);
  }
  pick(id);
  reveal(id);
  near(id);
});
