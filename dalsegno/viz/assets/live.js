// A run that is still going: `dalsegno draw --watch` writes what is new into a file beside the page. The page
// reads it by a script element, for nothing else may read a file beside a page that was opened from a disk.

let seen = DATA.version;
let silent = 0;

function hear(news) {
  silent = 0;
  if (news.version === seen) return;
  seen = news.version;
  RUN = news.run;
  byId("caption").textContent = news.caption;
  const drawn = new DOMParser().parseFromString(news.timeline, "image/svg+xml").documentElement;
  byId("score").replaceChildren(document.importNode(drawn, true));
  byId("replay").hidden = false;
  byId("state").hidden = !RUN.states.length;
  for (const id in news.errors) DATA.boxes[id].error = news.errors[id];
  for (const group of svg.querySelectorAll(".mark, .callout")) group.remove();
  const measures = byId("measures");
  measures.hidden = !news.measures.length;
  measures.replaceChildren(make("h2", "Proved against used"));
  for (const [what, words] of news.measures) measures.append(make("p", `${what}: ${words}`));
  show(following ? columns() : column);
  say(news.caption);
  if (RUN.done) clearInterval(listening);
}

function listen() {
  const script = document.createElement("script");
  script.src = `${DATA.live}?${Date.now()}`;
  script.onload = () => script.remove();
  script.onerror = () => {
    script.remove();
    if (++silent < 4) return;
    // The watch has ended and written the page anew, once more and for good.
    clearInterval(listening);
    const again = performance.getEntriesByType("navigation")[0]?.type === "reload";
    if (!again) location.reload();
    else say("The run is no longer followed.");
  };
  document.head.append(script);
}

let listening = 0;
if (DATA.live) {
  window.dalsegnoLive = hear;
  listening = setInterval(listen, 700);
}
