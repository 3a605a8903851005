// What the side panel tells of one node or edge.

let picked = null;

function pick(id) {
  const box = DATA.boxes[id] || edgeOf(id);
  if (!box) return;
  if (picked) nodes.get(picked)?.classList.remove("picked");
  picked = id;
  nodes.get(id)?.classList.add("picked");
  byId("about-name").textContent = box.name;
  const text = byId("about-text");
  text.replaceChildren();
  for (const line of facts(id, box)) text.append(make("p", line));
  if (DATA.boxes[id]) {
    list(text, "Leads to", edges.filter((e) => e.source === id), (e) => e.target);
    list(text, "Comes from", edges.filter((e) => e.target === id), (e) => e.source);
  }
  say(box.details);
}

function edgeOf(id) {
  const edge = DATA.edges[Number(id.slice(1))];
  if (id[0] !== "e" || !edge) return null;
  return { name: `${DATA.boxes[edge[0]].path} → ${DATA.boxes[edge[1]].path}`, details: edge[3] };
}

function facts(id, box) {
  const told = box.details.split(" · ").slice(1);
  const now = looks.get(id);
  const lines = told.length ? [told.join(" · ")] : [];
  if (now && now[1]) lines.push(now[1]);
  if (box.error && column === columns()) lines.push(box.error);
  for (const finding of box.findings || []) lines.push(finding);
  return lines;
}

function list(text, title, found, other) {
  if (!found.length) return;
  text.append(make("p", title));
  const rows = document.createElement("ul");
  for (const edge of found) {
    const id = other(edge);
    const row = document.createElement("li");
    const label = labels.get(edge.id) || "";
    const button = make("button", DATA.boxes[id].path + (label ? `  (${label})` : ""));
    button.type = "button";
    button.addEventListener("click", () => {
      pick(id);
      reveal(id);
    });
    row.append(button);
    rows.append(row);
  }
  text.append(rows);
}
