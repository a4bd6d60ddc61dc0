// Enroll people by photos: dropped, chosen, or taken here.

import { call, inGallery, onceKey, sendImage } from "../parts/api.js";
import { camera } from "../parts/camera.js";
import { galleryField } from "../parts/choices.js";
import { empty, field, fill, freshId, h } from "../parts/dom.js";
import { failed, said } from "../parts/notices.js";
import { dropZone, thumbnail } from "../parts/pictures.js";
import { counted, guidance, problem } from "../parts/words.js";

export const title = "Enroll";
export const lead = "Add people by one photo or several. In a folder of folders, each folder is a person.";

// Past this many, one request per photo would keep the page busy for long: the server does it as a job.
const MOST_HERE = 60;
const AT_ONCE = 2;

/** Works through `items` with a few at a time. */
async function inTurn(items, work) {
  const waiting = [...items];
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (waiting.length) await work(waiting.shift());
  }));
}

function photoCard(photo, signal, remove) {
  const state = h("p", { class: "state" });
  const out = h("button", { type: "button", class: "quiet small", "aria-label": `Leave out ${photo.file.name}`, onclick: () => remove(photo) }, "Leave out");
  const card = h("li", { class: "photo" }, thumbnail(photo.file, signal, photo.file.name), state, out);
  photo.say = (kind, text) => {
    photo.kind = kind;
    card.dataset.kind = kind;
    fill(state, text);
    out.hidden = kind === "done" || kind === "busy";
  };
  return card;
}

export async function show(page, { signal, query }) {
  const groups = new Map();
  const list = h("div", { class: "groups" });
  const go = h("button", { type: "button", class: "primary" }, "Enroll");
  const tags = h("input", { type: "text", autocomplete: "off" });
  const progress = h("p", { class: "muted", role: "status" });
  const bar = h("div", { class: "go" }, field("Tags (may be empty)", tags, "Separated by commas; a search can be kept to a tag."), h("div", { class: "row" }, go, progress));
  let gallery = null;
  let busy = false;

  const tagList = () => tags.value.split(",").map((tag) => tag.trim()).filter(Boolean);
  const photos = () => [...groups.values()].flatMap((group) => group.photos);
  const waiting = () => photos().filter((photo) => photo.kind !== "done");

  function redraw() {
    const left = waiting().length;
    go.textContent = left ? `Enroll ${counted(left, "photo", "photos")}` : "Enroll";
    go.disabled = busy || !left;
    bar.hidden = !groups.size;
    if (!groups.size) fill(list, empty("No photos yet", "Drop photos or a folder above, or take one with the camera."));
  }

  function remove(photo) {
    const group = groups.get(photo.group);
    group.photos = group.photos.filter((other) => other !== photo);
    photo.card.remove();
    if (!group.photos.length) {
      group.element.remove();
      groups.delete(photo.group);
    }
    redraw();
    (list.querySelector("input") ?? page.querySelector(".drop button")).focus();
  }

  function groupOf(folder) {
    const key = folder ?? "";
    if (groups.has(key)) return groups.get(key);
    if (!groups.size) fill(list);
    const name = h("input", { type: "text", autocomplete: "off", maxlength: 1000, value: folder ?? query.get("name") ?? "" });
    const items = h("ul", { class: "photos" });
    const headId = freshId("group");
    const element = h("section", { class: "group", "aria-labelledby": headId }, h("h2", { class: "unseen", id: headId }, folder ?? "Photos without a folder"), field("Who is this?", name, "The person's name, or any other mark."), items);
    const group = { name, items, element, photos: [] };
    groups.set(key, group);
    list.append(element);
    return group;
  }

  async function check(photo) {
    try {
      const { faces } = await sendImage("quality", photo.file, { largest: false }, { signal });
      if (photo.kind !== "checking") return;
      if (!faces.length) photo.say("poor", "No face was found.");
      else if (faces.length > 1) photo.say("poor", "Several faces: use a photo of one person.");
      else if (faces[0].good_enough) photo.say("good", `Good, ${Math.round(faces[0].quality)} of 100`);
      else photo.say("poor", guidance(faces[0].reasons).join(" "));
    } catch (error) {
      if (error.name !== "AbortError" && photo.kind === "checking") photo.say("poor", problem(error));
    }
  }

  function take(found) {
    if (!found.length) { failed(new Error("There was no picture among the files.")); return; }
    const fresh = found.map(({ file, folder }) => {
      const photo = { file, group: folder ?? "" };
      const group = groupOf(folder);
      photo.card = photoCard(photo, signal, remove);
      photo.say("checking", "Checking…");
      group.photos.push(photo);
      group.items.append(photo.card);
      return photo;
    });
    redraw();
    if (photos().length > MOST_HERE) {
      for (const photo of fresh) photo.say("good", "Checked by the server");
    } else inTurn(fresh, check);
    const first = [...groups.values()].find((group) => !group.name.value);
    first?.name.focus({ preventScroll: true });
  }

  async function enrollOne(photo) {
    const identity = groups.get(photo.group).name.value.trim();
    photo.once ??= onceKey();
    photo.say("busy", "Enrolling…");
    try {
      const asked = { identity, tags: tagList() };
      await sendImage(inGallery(gallery, "/enroll"), photo.file, asked, { signal, headers: { "Idempotency-Key": photo.once } });
      photo.say("done", "Enrolled");
    } catch (error) {
      if (error.name === "AbortError") throw error;
      // What was refused is another request the next time: the name may be another.
      photo.once = null;
      photo.say("failed", problem(error));
    }
  }

  async function asJob(left) {
    const form = new FormData();
    for (const photo of left) {
      const identity = groups.get(photo.group).name.value.trim();
      if (identity.includes("/")) throw new Error(`With so many photos a name may hold no slash: ${identity}`);
      form.append("images", photo.file, `${identity}/${photo.file.name}`);
    }
    await call("POST", "jobs/enroll", { query: { gallery, tags: tagList() }, body: form, headers: { "Idempotency-Key": onceKey() }, signal });
    location.hash = "#/jobs";
  }

  async function enroll() {
    const unnamed = [...groups.values()].find((group) => !group.name.value.trim() && group.photos.some((photo) => photo.kind !== "done"));
    if (unnamed) {
      unnamed.name.setAttribute("aria-invalid", "true");
      unnamed.name.focus();
      failed(new Error("Say who this is first."));
      return;
    }
    for (const group of groups.values()) group.name.removeAttribute("aria-invalid");
    const left = waiting();
    busy = true;
    redraw();
    try {
      if (left.length > MOST_HERE) { await asJob(left); return; }
      let done = 0;
      await inTurn(left, async (photo) => {
        await enrollOne(photo);
        done += 1;
        fill(progress, `${done} of ${left.length}`);
      });
      const good = left.filter((photo) => photo.kind === "done").length;
      const words = `${counted(good, "photo was", "photos were")} enrolled${good < left.length ? `, ${left.length - good} refused` : ""}.`;
      fill(progress, words, " ", good > 0 && h("a", { href: `#/people?gallery=${encodeURIComponent(gallery)}` }, "Show the people"));
      if (good) said(words);
    } catch (error) {
      failed(error);
    } finally {
      busy = false;
      redraw();
    }
  }

  go.addEventListener("click", enroll);
  const chosen = await galleryField(signal, query.get("gallery"), (name) => { gallery = name; });
  fill(page,
    chosen.element,
    h("div", { class: "columns level" },
      h("section", { "aria-labelledby": "files-head" }, h("h2", { id: "files-head" }, "Photos"),
        dropZone({ label: "Drop photos or folders here", multiple: true, folders: true, take })),
      h("section", { "aria-labelledby": "camera-head" }, h("h2", { id: "camera-head" }, "Camera"),
        camera({ signal, take: (file) => take([{ file, folder: null }]) }))),
    list, bar);
  redraw();
}
