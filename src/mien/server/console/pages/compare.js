// Whether two photos show the same person.

import { call, get } from "../parts/api.js";
import { chosenRate } from "../parts/choices.js";
import { empty, fill, h, loading } from "../parts/dom.js";
import { failed, trouble } from "../parts/notices.js";
import { addressOf, dropZone, withBoxes } from "../parts/pictures.js";
import { scoreScale } from "../parts/scale.js";
import { oneIn, probability, score } from "../parts/words.js";

export const title = "Compare";
export const lead = "Do two photos show the same person?";

// As the style sheet has it.
const TALLEST = 300;

function side(name, label, signal, take) {
  const picture = h("div", { class: "picture" });
  const zone = dropZone({ label: `Drop the ${label} photo here`, take: ([found]) => (found ? use(found.file) : failed(new Error("This is no picture."))) });
  const slot = h("section", { class: "side", "aria-labelledby": `side-${name}` }, h("h2", { id: `side-${name}` }, `The ${label} photo`), picture, zone);
  const state = { element: slot, file: null, draw };
  function use(file) {
    state.file = file;
    fill(picture, h("img", { src: addressOf(file, signal), alt: `The ${label} photo` }));
    take();
  }
  async function draw(face) {
    if (!face?.xyxy) return;
    const image = picture.querySelector("img");
    await image.decode().catch(() => {});
    if (!image.naturalWidth) return;
    fill(picture, withBoxes(state.file, signal, [image.naturalWidth, image.naturalHeight], [{ xyxy: face.xyxy, label: name.toUpperCase(), kind: "good" }], `The ${label} photo, with a box around the face that was compared`, TALLEST));
  }
  return state;
}

export async function show(page, { signal }) {
  const result = h("section", { class: "verdict-room", "aria-label": "Result" });
  const rate = chosenRate();
  let latest = 0;
  const facts = get("calibration", null, signal).catch((error) => (error.name === "AbortError" ? Promise.reject(error) : null));
  facts.catch(() => {});

  async function run() {
    if (!first.file || !second.file) {
      fill(result, empty("One more photo", "The comparison starts as soon as both photos are there."));
      return;
    }
    const mine = ++latest;
    fill(result, loading(6, "Comparing"));
    const form = new FormData();
    form.append("a", first.file);
    form.append("b", second.file);
    try {
      const found = await call("POST", "verify", { query: { fmr: rate, face: "largest" }, body: form, signal });
      const calibration = await facts;
      if (mine !== latest) return;
      fill(result,
        h("p", { class: `verdict ${found.match ? "yes" : "no"}`, role: "status" }, found.match ? "The same person" : "Not the same person"),
        h("dl", { class: "facts wide" },
          h("div", null, h("dt", null, "Score"), h("dd", null, score(found.score))),
          h("div", null, h("dt", null, "Threshold"), h("dd", null, score(found.threshold))),
          h("div", null, h("dt", null, "Probability of the same person"), h("dd", null, probability(found.probability)))),
        scoreScale({ calibration, threshold: found.threshold, score: found.score }),
        h("p", { class: "muted" }, `At this threshold, ${oneIn(rate)} pairs of different people are taken for one. The probability holds where both answers are equally likely beforehand. `, h("a", { href: "#/threshold" }, "Change the threshold")));
      await Promise.all([first.draw(found.a), second.draw(found.b)]);
    } catch (error) {
      if (error.name !== "AbortError" && mine === latest) fill(result, trouble(error, run));
    }
  }

  const first = side("a", "first", signal, run);
  const second = side("b", "second", signal, run);
  fill(page, h("div", { class: "columns even" }, first.element, second.element), result);
  fill(result, empty("No photos yet", "Give two photos. Where a photo shows several people, the largest face counts."));
}
