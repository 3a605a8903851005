// The page as a whole: keys, theme, and the first look.

function theme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  byId("theme").textContent = `Theme: ${name}`;
  try {
    localStorage.setItem("dalsegno-theme", name);
  } catch {
    // a page from a disk may have no storage
  }
}

const THEMES = ["auto", "light", "dark"];
const themeNow = () => document.documentElement.dataset.theme || "auto";
byId("theme").addEventListener("click", () => theme(THEMES[(THEMES.indexOf(themeNow()) + 1) % 3]));
try {
  const kept = localStorage.getItem("dalsegno-theme");
  if (THEMES.includes(kept)) theme(kept);
} catch {
  // as above
}

const KEYS = {
  "/": () => field.focus(),
  "+": () => zoom(1.3),
  "-": () => zoom(1 / 1.3),
  "0": fit,
  f: () => byId("fold").disabled || byId("fold").click(),
  t: () => byId("theme").click(),
  ",": () => RUN && step(-1),
  ".": () => RUN && step(1),
  " ": () => RUN && play(!playing),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input:not([type=range]):not([type=checkbox]), textarea");
  const pressing = event.key === " " && event.target.closest("button, summary, input, [role=button]");
  if (typing || pressing) return;
  const act = KEYS[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
});

shut(DATA.shut, true);
begin();
if (RUN) show(columns());
document.documentElement.dataset.ready = "yes";
