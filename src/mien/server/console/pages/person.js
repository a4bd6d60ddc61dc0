// One person: their templates, tags and name; rename, merge, erase.

import { call, get, inGallery } from "../parts/api.js";
import { ask, confirm, confirmTyped } from "../parts/dialog.js";
import { empty, field, fill, h, loading } from "../parts/dom.js";
import { said } from "../parts/notices.js";
import { addressOf } from "../parts/pictures.js";
import { counted } from "../parts/words.js";

export const title = "Person";

const address = (gallery, name) => `#/person?gallery=${encodeURIComponent(gallery)}&name=${encodeURIComponent(name)}`;

async function portrait(gallery, template, signal, place) {
  if (!template.has_portrait) return;
  try {
    const blob = await call("GET", inGallery(gallery, `/templates/${template.template_id}/portrait`), { signal, as: "blob" });
    fill(place, h("img", { src: addressOf(blob, signal), alt: `Picture of template ${template.template_id}` }));
  } catch {
    fill(place, "No picture");
  }
}

async function rename(gallery, name, signal) {
  const typed = h("input", { type: "text", autocomplete: "off", maxlength: 1000, value: name });
  const path = inGallery(gallery, "/identity");
  const fresh = () => typed.value.trim();
  const outcome = await ask({
    title: `Rename ${name}`,
    body: [field("New name", typed)],
    action: "Rename",
    ready: () => fresh() !== "" && fresh() !== name,
    submit: async () => {
      try {
        await call("PATCH", path, { query: { name }, json: { name: fresh() }, signal });
        return { to: fresh() };
      } catch (error) {
        if (error.code !== "identity_exists") throw error;
        return { taken: fresh() };
      }
    },
  });
  if (!outcome) return;
  if (outcome.taken) {
    await merge(gallery, name, outcome.taken, signal);
    return;
  }
  said(`${name} is now called ${outcome.to}.`);
  location.hash = address(gallery, outcome.to);
}

async function merge(gallery, name, other, signal) {
  const target = h("input", { type: "text", autocomplete: "off", maxlength: 1000, value: other ?? "" });
  const merged = await ask({
    title: other ? `${other} is there already` : `Merge ${name} with someone`,
    body: [
      h("p", null, other ? `Are ${name} and ${other} the same person? Then all templates of ${name} go to ${other}.` : `For a person who was enrolled under two names: all templates of ${name} go to the other name.`),
      field("Goes to", target, "The name of a person in this gallery."),
    ],
    action: "Merge",
    danger: true,
    ready: () => target.value.trim() !== "" && target.value.trim() !== name,
    submit: async () => {
      const to = target.value.trim();
      // Merging into a name that nobody has would be a renaming by mistake.
      await get(inGallery(gallery, "/identity"), { name: to }, signal);
      await call("PATCH", inGallery(gallery, "/identity"), { query: { name }, json: { name: to, merge: true }, signal });
      return to;
    },
  });
  if (!merged) return;
  said(`${name} was merged with ${merged}.`);
  location.hash = address(gallery, merged);
}

async function retag(gallery, person, signal, again) {
  const tags = h("input", { type: "text", autocomplete: "off", value: person.tags.join(", ") });
  const done = await ask({
    title: `Tags of ${person.identity}`,
    body: [field("Tags", tags, "Separated by commas. A search can be kept to people with a tag.")],
    action: "Save",
    submit: () => call("PATCH", inGallery(gallery, "/identity"), {
      query: { name: person.identity }, json: { tags: tags.value.split(",").map((tag) => tag.trim()).filter(Boolean) }, signal,
    }),
  });
  if (!done) return;
  said("The tags were saved.");
  again();
}

async function erase(gallery, person, signal) {
  const { identity: name, templates } = person;
  const text = `All ${counted(templates.length, "template", "templates")} of ${name} are erased from “${gallery}”, with the pictures kept for them. This cannot be undone.`;
  const done = await confirmTyped(`Erase ${name}?`, text, name, "Erase", () => call("DELETE", inGallery(gallery, "/identity"), { query: { name }, signal }));
  if (!done) return;
  said(`${name} was erased.`);
  location.hash = `#/people?gallery=${encodeURIComponent(gallery)}`;
}

function templateCard(gallery, person, template, signal, again) {
  const place = h("div", { class: "thumb none" }, template.has_portrait ? "" : "No picture");
  portrait(gallery, template, signal, place);
  const remove = async () => {
    const last = person.templates.length === 1;
    const text = last ? `It is the only template of ${person.identity}, who is then no longer in the gallery.` : "This cannot be undone.";
    const done = await confirm(`Erase template ${template.template_id}?`, text, "Erase", () => call("DELETE", inGallery(gallery, `/templates/${template.template_id}`), { signal }));
    if (!done) return;
    said("The template was erased.");
    if (last) location.hash = `#/people?gallery=${encodeURIComponent(gallery)}`;
    else again();
  };
  return h("li", { class: "photo" }, place, h("p", { class: "state" }, `Template ${template.template_id}`),
    h("button", { type: "button", class: "quiet small", "aria-label": `Erase template ${template.template_id}`, onclick: remove }, "Erase"));
}

export async function show(page, { signal, query, heading }) {
  const gallery = query.get("gallery");
  const name = query.get("name");
  const back = h("p", null, h("a", { href: `#/people?gallery=${encodeURIComponent(gallery ?? "")}` }, "All people"));
  if (!gallery || !name) {
    fill(page, back, empty("Nobody is chosen", "Choose a person from the list."));
    return;
  }
  heading.textContent = name;
  document.title = `${name} – mien`;
  const room = h("div", { class: "page" }, loading(5));
  fill(page, back, room);
  async function load() {
    const person = await get(inGallery(gallery, "/identity"), { name }, signal);
    const again = () => load().catch(() => {});
    const button = (text, work, kind) => h("button", { type: "button", class: kind, onclick: work }, text);
    fill(room,
      h("dl", { class: "facts" },
        h("dt", null, "Gallery"), h("dd", null, gallery),
        h("dt", null, "Tags"), h("dd", null, person.tags.length ? person.tags.map((tag) => h("span", { class: "tag-chip" }, tag)) : h("span", { class: "muted" }, "none")),
        h("dt", null, "Templates"), h("dd", null, person.templates.length)),
      h("div", { class: "row" },
        h("a", { class: "button", href: `#/enroll?gallery=${encodeURIComponent(gallery)}&name=${encodeURIComponent(name)}` }, "Add photos"),
        button("Edit tags", () => retag(gallery, person, signal, again)),
        button("Rename", () => rename(gallery, name, signal)),
        button("Merge", () => merge(gallery, name, null, signal)),
        button("Erase", () => erase(gallery, person, signal), "danger")),
      h("h2", null, "Templates"),
      h("ul", { class: "photos" }, person.templates.map((template) => templateCard(gallery, person, template, signal, again))));
  }
  await load();
}
