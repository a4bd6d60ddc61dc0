// The frame of the console: pages by hash, the menu, the look, the API key.

import { currentKey, forgetKey, onKeyNeeded } from "./parts/api.js";
import { ask } from "./parts/dialog.js";
import { choice, field, fill, h } from "./parts/dom.js";
import { icon } from "./parts/icons.js";
import { said, trouble } from "./parts/notices.js";
import * as audit from "./pages/audit.js";
import * as compare from "./pages/compare.js";
import * as dashboard from "./pages/dashboard.js";
import * as enroll from "./pages/enroll.js";
import * as identify from "./pages/identify.js";
import * as jobs from "./pages/jobs.js";
import * as keys from "./pages/keys.js";
import * as people from "./pages/people.js";
import * as person from "./pages/person.js";
import * as threshold from "./pages/threshold.js";

const PAGES = { dashboard, enroll, identify, compare, people, threshold, jobs, audit, keys };
const HIDDEN = { person: [person, "people"] };
const THEME = "mien.theme";

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const menu = document.getElementById("menu");
let leaving = new AbortController();
let first = true;

function parsed() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { name: path || "dashboard", query: new URLSearchParams(query) };
}

function mark(name) {
  for (const link of nav.querySelectorAll("a")) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function closeMenu() {
  menu.setAttribute("aria-expanded", "false");
  nav.classList.remove("open");
}

async function open() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { name, query } = parsed();
  const [page, marked] = PAGES[name] ? [PAGES[name], name] : HIDDEN[name] ?? [PAGES.dashboard, "dashboard"];
  const heading = h("h1", { tabindex: "-1" }, page.title);
  const body = h("div", { class: "page" });
  fill(main, h("div", { class: "head" }, heading, page.lead && h("p", { class: "lead" }, page.lead)), body);
  document.title = `${page.title} – mien`;
  mark(marked);
  closeMenu();
  scrollTo(0, 0);
  // The first page keeps the browser's own start of the focus; later ones are announced by their heading.
  if (!first) heading.focus({ preventScroll: true });
  first = false;
  try {
    await page.show(body, { signal, query, heading });
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    fill(body, trouble(error, open));
  } finally {
    tools();
  }
}

function tools() {
  const look = choice([["auto", "Look: auto"], ["light", "Look: light"], ["dark", "Look: dark"]], localStorage.getItem(THEME) ?? "auto", { "aria-label": "Look" });
  look.addEventListener("change", () => {
    if (look.value === "auto") {
      localStorage.removeItem(THEME);
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem(THEME, look.value);
      document.documentElement.dataset.theme = look.value;
    }
  });
  const out = currentKey() && h("button", { type: "button", class: "quiet", onclick: () => { forgetKey(); said("The API key is forgotten."); open(); } }, "Forget key");
  const place = document.getElementById("tools");
  if (place.dataset.drawn === String(Boolean(out))) return;
  place.dataset.drawn = String(Boolean(out));
  fill(place, look, out);
}

onKeyNeeded(async (refused) => {
  const key = h("input", { type: "password", autocomplete: "off", spellcheck: "false" });
  const given = await ask({
    title: "API key",
    body: [
      h("p", null, refused ? `This key was refused: ${refused.message}` : "This server answers only to those who have an API key."),
      field("Key", key, "It is kept in this tab alone, until you close it. “mien keys create” makes one."),
    ],
    action: "Continue",
    ready: () => key.value.trim() !== "",
    submit: () => key.value.trim(),
  });
  return given;
});

for (const [name, page] of Object.entries(PAGES)) {
  nav.append(h("a", { href: `#/${name}`, "data-page": name }, icon(name), h("span", null, page.menu ?? page.title)));
}
menu.addEventListener("click", () => {
  const opened = nav.classList.toggle("open");
  menu.setAttribute("aria-expanded", String(opened));
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && nav.classList.contains("open")) {
    closeMenu();
    menu.focus();
  }
});
document.querySelector(".skip").addEventListener("click", (event) => {
  // The hash is the page's address; the link must not change it.
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", open);
tools();
open();
