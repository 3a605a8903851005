// What is folded takes no room, where nothing stands beside it: all that is below moves up.

const HEAD = 56;
const drawn = new Map();

/** The spans of y that are left out: the inside of each folded frame that has its height for itself. */
function spans(shut, within) {
  const seen = Object.entries(DATA.boxes).filter(([id, box]) => box.at && !within(id));
  const found = [];
  for (const id of shut) {
    if (within(id)) continue;
    const [, y, , h] = DATA.boxes[id].at;
    const [top, low] = [y + HEAD, y + h - 10];
    const around = (other) => {
      for (let at = DATA.boxes[id].in; at; at = DATA.boxes[at].in) if (at === other) return true;
      return false;
    };
    const beside = seen.some(([other, { at }]) => other !== id && !around(other) && at[1] < low && at[1] + at[3] > top);
    if (!beside && low > top) found.push([top, low]);
  }
  return found;
}

function squeeze(shut, within) {
  const left = spans(shut, within);
  const up = (y) => left.reduce((sum, [top, low]) => sum - Math.min(Math.max(y - top, 0), low - top), y);
  for (const [id, group] of nodes) {
    const box = DATA.boxes[id];
    if (!box) continue;
    const [x, y, w, h] = box.at;
    move(group, up(y) - y);
    if (id[0] === "c") group.querySelector(".frame").setAttribute("d", rounded(x, y, w, up(y + h) - up(y), 12));
    const fold = svg.querySelector(`.fold[data-fold="${id}"]`);
    if (fold) move(fold, up(y) - y);
    const told = svg.querySelector(`.summary[data-of="${id}"]`);
    if (told) told.setAttribute("y", shut.has(id) ? (up(y) + up(y + h)) / 2 + 18 : y + h / 2);
  }
  for (const group of svg.querySelectorAll(".edge, .stem")) {
    for (const path of group.querySelectorAll("path")) path.setAttribute("d", bent(path, up));
    const label = group.querySelector("text");
    if (!label) continue;
    if (!drawn.has(label)) drawn.set(label, Number(label.getAttribute("y")));
    label.setAttribute("y", up(drawn.get(label)));
  }
  for (const over of svg.querySelectorAll(".mark, .callout")) {
    if (!drawn.has(over)) drawn.set(over, over.getBBox().y);
    move(over, up(drawn.get(over)) - drawn.get(over));
  }
  full[3] = up(height);
}

const height = full[3];

function move(group, by) {
  group.dataset.by = by;
  if (by) group.setAttribute("transform", `translate(0 ${by})`);
  else group.removeAttribute("transform");
}

/** A path of pairs of numbers, with each y moved. */
function bent(path, up) {
  if (!drawn.has(path)) drawn.set(path, path.getAttribute("d"));
  let odd = true;
  return drawn.get(path).replace(/-?\d+(\.\d+)?/g, (number) => {
    odd = !odd;
    return odd ? String(Math.round(up(Number(number)) * 10) / 10) : number;
  });
}

function rounded(x, y, w, h, r) {
  const a = `a${r} ${r} 0 0 1`;
  return `M${x + r} ${y}h${w - 2 * r}${a} ${r} ${r}v${h - 2 * r}${a} ${-r} ${r}h${2 * r - w}${a} ${-r} ${-r}v${2 * r - h}${a} ${r} ${-r}z`;
}
