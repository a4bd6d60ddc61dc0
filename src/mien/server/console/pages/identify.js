// Who is on a photo.

import { inGallery, sendImage } from "../parts/api.js";
import { camera } from "../parts/camera.js";
import { chosenRate, galleryField } from "../parts/choices.js";
import { choice, empty, field, fill, h, loading, table } from "../parts/dom.js";
import { failed, trouble } from "../parts/notices.js";
import { dropZone, withBoxes } from "../parts/pictures.js";
import { counted, oneIn, probability, score } from "../parts/words.js";

export const title = "Identify";
export const lead = "Find out who is on a photo, among the people of a gallery.";

function rows(face, gallery) {
  return face.candidates.map((candidate) => h("tr", null,
    h("th", { scope: "row" }, h("a", { href: `#/person?gallery=${encodeURIComponent(gallery)}&name=${encodeURIComponent(candidate.identity)}` }, candidate.identity)),
    h("td", { class: "number" }, score(candidate.score)),
    h("td", { class: "number" }, probability(candidate.probability))));
}

function faceResult(face, number, gallery) {
  const first = face.candidates[0];
  return h("section", { class: "face" },
    h("h2", null, h("span", { class: `badge ${first ? "good" : "none"}` }, number + 1), first ? first.identity : "Nobody known"),
    first ? table(`Candidates for face ${number + 1}`, ["Name", "Score", "Probability"], rows(face, gallery))
      : h("p", { class: "muted" }, "No one in this gallery is alike enough. ",
        h("a", { href: `#/enroll?gallery=${encodeURIComponent(gallery)}` }, "Enroll someone")));
}

function words(faces) {
  if (!faces.length) return "No face was found.";
  const known = faces.filter((face) => face.candidates.length).length;
  return `${counted(faces.length, "face", "faces")}, ${known ? `${counted(known, "is", "are")} known` : "nobody known"}.`;
}

export async function show(page, { signal, query }) {
  const result = h("div", { class: "result" });
  const status = h("p", { class: "summary", role: "status" });
  const top = choice([[1, "1"], [3, "3"], [5, "5"], [10, "10"]], 3);
  const tags = h("input", { type: "text", autocomplete: "off" });
  const rate = chosenRate();
  let gallery = null;
  let photo = null;
  let latest = 0;

  async function run() {
    if (!photo || !gallery) return;
    const mine = ++latest;
    fill(status, "Looking…");
    fill(result, h("div", { class: "columns" }, h("div", { class: "boxed waiting" }), loading(4)));
    try {
      const asked = { top: top.value, fmr: rate, tags: tags.value.split(",").map((tag) => tag.trim()).filter(Boolean) };
      const found = await sendImage(inGallery(gallery, "/identify"), photo, asked, { signal });
      if (mine !== latest) return;
      const faces = found.faces.map((face, number) => {
        const name = face.candidates[0]?.identity;
        return { ...face, label: name ? `${number + 1} ${name}` : `${number + 1}`, kind: name ? "good" : "" };
      });
      fill(status, words(faces));
      const list = faces.length ? faces.map((face, number) => faceResult(face, number, gallery))
        : empty("No face was found", "Use a photo on which the face is larger, and turned to the camera.");
      fill(result, h("div", { class: "columns" }, withBoxes(photo, signal, found.size_wh, faces, `The photo, with a box around each face. ${words(faces)}`), h("div", null, list)));
    } catch (error) {
      if (error.name === "AbortError" || mine !== latest) return;
      fill(status);
      fill(result, trouble(error, run));
    }
  }

  const use = (file) => { photo = file; run(); };
  const chosen = await galleryField(signal, query.get("gallery"), (name) => { gallery = name; run(); });
  top.addEventListener("change", run);
  tags.addEventListener("change", run);
  const live = h("details", { class: "fold" }, h("summary", null, "Use the camera"));
  const panel = camera({ signal, guide: false, take: use });
  live.append(panel);
  live.addEventListener("toggle", () => { if (!live.open) panel.stop(); });
  fill(page,
    h("div", { class: "controls" }, chosen.element, field("Candidates a face", top), field("Only people with the tags", tags)),
    dropZone({ label: "Drop a photo here", take: ([found]) => (found ? use(found.file) : failed(new Error("This is no picture."))) }),
    live,
    h("p", { class: "muted" }, `A stranger is taken for any one person in the gallery ${oneIn(rate)} times. `, h("a", { href: "#/threshold" }, "Change")),
    status, result);
  const people = chosen.galleries.reduce((sum, one) => sum + one.identities, 0);
  fill(result, people ? empty("No photo yet", "Drop a photo above: every face on it is looked up.")
    : empty("No one is enrolled yet", "There is nobody to recognize so far.", h("a", { class: "button primary", href: "#/enroll" }, "Enroll someone")));
}
