// What the server holds and how it does.

import { call, get, inGallery } from "../parts/api.js";
import { ask, confirmTyped } from "../parts/dialog.js";
import { choice, empty, field, fill, h, loading, table } from "../parts/dom.js";
import { said, trouble } from "../parts/notices.js";
import { bars } from "../parts/scale.js";
import { chooseGallery } from "../parts/choices.js";
import { ago, count, counted, milliseconds, time } from "../parts/words.js";
import { deedBefore } from "../parts/deeds.js";

export const title = "Dashboard";

const AGAIN_MS = 5000;

function tile(label, value, note) {
  return h("div", { class: "tile" }, h("p", { class: "label" }, label), h("p", { class: "value" }, value), h("p", { class: "note" }, note ?? "\u00a0"));
}

async function makeGallery(done) {
  const name = h("input", { type: "text", autocomplete: "off", spellcheck: "false", maxlength: 64, pattern: "[A-Za-z0-9_\\-][A-Za-z0-9._\\-]{0,63}" });
  const portraits = h("input", { type: "checkbox", id: "keep-portraits" });
  const codec = choice([["float32", "Exact (float32)"], ["int8", "Exact, scanned as int8: faster"], ["int8-only", "int8 only: smallest"]], "float32");
  const made = await ask({
    title: "New gallery",
    body: [
      field("Name", name, "Letters, digits, dots, dashes and underscores."),
      field("How templates are kept", codec),
      h("div", { class: "check" }, portraits, h("label", { for: "keep-portraits" }, "Keep a small picture of each enrolled face, so that the gallery can move to another model")),
    ],
    action: "Create",
    ready: () => name.value !== "" && name.validity.valid,
    submit: () => call("POST", "galleries", { json: { name: name.value, codec: codec.value, portraits: portraits.checked } }),
  });
  if (!made) return;
  said(`The gallery ${name.value} was created.`);
  done();
}

async function removeGallery(gallery, done) {
  const text = `All ${counted(gallery.templates, "template", "templates")} of ${counted(gallery.identities, "person", "people")} in “${gallery.name}” are erased. This cannot be undone.`;
  const erased = await confirmTyped(`Erase the gallery ${gallery.name}?`, text, gallery.name, "Erase the gallery",
    () => call("DELETE", inGallery(gallery.name), { query: { confirm: gallery.name } }));
  if (!erased) return;
  said(`The gallery ${gallery.name} was erased.`);
  done();
}

function galleryRow(gallery, again) {
  const open = h("a", { href: `#/people?gallery=${encodeURIComponent(gallery.name)}`, onclick: () => chooseGallery(gallery.name) }, gallery.name);
  return h("tr", null,
    h("th", { scope: "row" }, open),
    h("td", { class: "number" }, count(gallery.identities)),
    h("td", { class: "number" }, count(gallery.templates)),
    h("td", null, gallery.space ?? h("span", { class: "muted" }, "not yet used")),
    h("td", null, gallery.options.portraits ? "kept" : "no"),
    h("td", { class: "end" }, h("button", { type: "button", class: "quiet", "aria-label": `Erase the gallery ${gallery.name}`, onclick: () => removeGallery(gallery, again) }, "Erase")));
}

function activityList(recent) {
  if (!recent.length) return empty("Nothing has happened yet", "Enrollments, searches and changes appear here.");
  return h("ul", { class: "activity" }, recent.slice(0, 12).map((entry) => h("li", null,
    h("span", null, deedBefore(entry.action, entry.gallery), entry.gallery && h("strong", null, entry.gallery)),
    h("span", { class: "muted" }, entry.caller, " · ", h("time", { title: time(entry.at) }, ago(entry.at))))));
}

function drawTiles(place, galleries, activity) {
  const people = galleries.reduce((sum, gallery) => sum + gallery.identities, 0);
  const templates = galleries.reduce((sum, gallery) => sum + gallery.templates, 0);
  const { p50, p95 } = activity.latency_ms;
  const minutes = activity.requests_per_minute;
  const hour = minutes.reduce((sum, value) => sum + value, 0);
  fill(place,
    tile("People", count(people), counted(templates, "template", "templates")),
    tile("Galleries", count(galleries.length), galleries.map((gallery) => gallery.name).slice(0, 3).join(", ")),
    tile("Median answer time", milliseconds(p50), `95\u00a0% within ${milliseconds(p95)}`),
    h("div", { class: "tile" }, h("p", { class: "label" }, "Requests in the last hour"), h("p", { class: "value" }, count(hour)),
      bars(minutes.length ? minutes : Array(60).fill(0), `Requests a minute over the last hour, ${count(hour)} in all`)));
}

export async function show(page, { signal }) {
  const tiles = h("div", { class: "tiles" }, Array.from({ length: 4 }, () => h("div", { class: "tile" }, loading(2))));
  const start = h("div");
  const galleries = h("div", null, loading(3));
  const recent = h("div", null, loading(5));
  const server = h("div", null, loading(2));
  const again = () => update(true);
  fill(page, tiles, start,
    h("section", { "aria-labelledby": "galleries-head" },
      h("div", { class: "section-head" }, h("h2", { id: "galleries-head" }, "Galleries"), h("button", { type: "button", onclick: () => makeGallery(again) }, "New gallery")), galleries),
    h("div", { class: "columns" },
      h("section", { "aria-labelledby": "activity-head" }, h("div", { class: "section-head" }, h("h2", { id: "activity-head" }, "Recent activity"), h("a", { href: "#/audit" }, "Audit log")), recent),
      h("section", { "aria-labelledby": "models-head" }, h("h2", { id: "models-head" }, "Models in use"), server)));

  // The galleries are worth seeing even where the rest cannot be had.
  const without = (error) => {
    if (error.name === "AbortError") throw error;
    return { error, latency_ms: {}, requests_per_minute: [] };
  };

  let drawn = "";
  async function update(all) {
    const [held, activity] = await Promise.all([get("galleries", null, signal), get("activity", null, signal).catch(without)]);
    drawTiles(tiles, held.galleries, activity);
    fill(recent, activity.error ? trouble(activity.error) : activityList(activity.recent));
    const now = JSON.stringify(held);
    // A row that is drawn anew would lose the focus.
    if (!all && now === drawn) return;
    drawn = now;
    fill(galleries, table("Galleries", ["Name", "People", "Templates", "Embedding space", "Pictures", h("span", { class: "unseen" }, "Actions")], held.galleries.map((gallery) => galleryRow(gallery, again))));
    const none = held.galleries.every((gallery) => gallery.identities === 0);
    fill(start, none && empty("No one is enrolled yet", "Enroll the first person with a photo or the camera; then identify them on another photo.", h("a", { class: "button primary", href: "#/enroll" }, "Enroll someone"), h("a", { class: "button", href: "#/compare" }, "Compare two photos")));
  }

  async function models() {
    const [{ models: cards }, version] = await Promise.all([get("models", null, signal), get("version", null, signal)]);
    const used = cards.filter((card) => card.in_use);
    fill(server, h("dl", { class: "facts" },
      used.map((card) => [h("dt", null, card.task === "embedder" ? "Embedder" : "Detector"), h("dd", null, card.name, " ", h("span", { class: "muted" }, `${card.license}${card.commercial ? "" : ", not for commercial use"}`))]),
      h("dt", null, "Server"), h("dd", null, `mien ${version.version ?? version.mien ?? ""}`)));
  }

  await Promise.all([update(true), models().catch((error) => { if (error.name !== "AbortError") fill(server, trouble(error)); })]);
  const timer = setInterval(() => { if (!document.hidden) update(false).catch(() => {}); }, AGAIN_MS);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}
