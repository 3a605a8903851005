// What the other scripts of the page share. They are put together, in one scope, by `viz/page.py`.

const DATA = JSON.parse(document.getElementById("data").textContent);

const byId = (id) => document.getElementById(id);

/** An element with a text in it; never with markup. */
function make(tag, text, name) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

/** Tells those who listen instead of looking. */
function say(text) {
  byId("live").textContent = text;
}
