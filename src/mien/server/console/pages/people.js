// The people of a gallery.

import { get, inGallery } from "../parts/api.js";
import { galleryField } from "../parts/choices.js";
import { empty, field, fill, h, loading, table } from "../parts/dom.js";
import { failed, trouble } from "../parts/notices.js";
import { count, counted } from "../parts/words.js";

export const title = "People";

const PAGE = 50;
const SETTLE_MS = 250;

function row(gallery, person) {
  const address = `#/person?gallery=${encodeURIComponent(gallery)}&name=${encodeURIComponent(person.identity)}`;
  return h("tr", null,
    h("th", { scope: "row" }, h("a", { href: address }, person.identity)),
    h("td", { class: "number" }, count(person.templates)));
}

export async function show(page, { signal, query }) {
  const search = h("input", { type: "search", autocomplete: "off", spellcheck: "false", value: query.get("q") ?? "" });
  const status = h("p", { class: "summary", role: "status" });
  const list = h("div", null, loading(6));
  let gallery = null;
  let latest = 0;

  async function load() {
    const mine = ++latest;
    const containing = search.value.trim();
    try {
      const found = await get(inGallery(gallery, "/identities"), { containing, limit: PAGE }, signal);
      if (mine !== latest) return;
      draw(found, containing);
    } catch (error) {
      if (error.name !== "AbortError" && mine === latest) fill(list, trouble(error, load));
    }
  }

  function draw(found, containing) {
    fill(status, containing ? `${found.next === null ? counted(found.identities.length, "person", "people") : `More than ${count(PAGE)} people`} with “${containing}” in the name.` : `${counted(found.total, "person", "people")} in this gallery.`);
    if (!found.identities.length) {
      fill(list, containing ? empty("Nobody has this in the name", "Try a shorter part of the name; capital and small letters are the same.")
        : empty("This gallery is empty", "Enroll people to see them here.", h("a", { class: "button primary", href: `#/enroll?gallery=${encodeURIComponent(gallery)}` }, "Enroll someone")));
      return;
    }
    const body = table("People", ["Name", "Templates"], found.identities.map((person) => row(gallery, person)));
    fill(list, body);
    addMore(body.querySelector("tbody"), found.next, containing);
  }

  function addMore(rows, next, containing) {
    if (next === null || next === undefined) return;
    const mine = latest;
    const more = h("button", { type: "button" }, "Show more");
    const line = h("p", { class: "row center" }, more);
    list.append(line);
    more.addEventListener("click", async () => {
      more.disabled = true;
      try {
        const found = await get(inGallery(gallery, "/identities"), { containing, after: next, limit: PAGE }, signal);
        if (mine !== latest) return;
        const fresh = found.identities.map((person) => row(gallery, person));
        line.remove();
        rows.append(...fresh);
        addMore(rows, found.next, containing);
        fresh[0]?.querySelector("a").focus();
      } catch (error) {
        more.disabled = false;
        failed(error);
      }
    });
  }

  const chosen = await galleryField(signal, query.get("gallery"), (name) => {
    gallery = name;
    load();
  });
  let timer = null;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(load, SETTLE_MS);
  });
  fill(page, h("div", { class: "controls" }, chosen.element, field("Search by name", search)), status, list);
}
