// How alike is alike enough: the threshold as a false match rate.

import { get } from "../parts/api.js";
import { chooseRate, chosenRate, galleryField } from "../parts/choices.js";
import { fill, freshId, h } from "../parts/dom.js";
import { failed } from "../parts/notices.js";
import { scoreScale } from "../parts/scale.js";
import { counted, oneIn, probability, score } from "../parts/words.js";

export const title = "Threshold";
export const lead = "Choose how often strangers may be taken for someone. Identify and Compare use it in this browser.";

// Powers of ten: the slider's steps are equal on a log scale.
const LOOSEST = -1;
const STRICTEST = -6;
const SETTLE_MS = 120;

const rateOf = (slider) => Number((10 ** -Number(slider.value)).toPrecision(2));

/** Chance that a stranger is named at all in a search among `people`. */
const anyOf = (rate, people) => 1 - (1 - rate) ** people;

const often = (chance) => (chance > 0.3 ? `${probability(chance)} of the times` : `${oneIn(chance)} times`);

export async function show(page, { signal }) {
  const id = freshId("rate");
  const slider = h("input", { type: "range", id, min: -LOOSEST, max: -STRICTEST, step: 0.1, value: 4, list: `${id}-marks` });
  slider.value = String(Math.min(-STRICTEST, Math.max(-LOOSEST, -Math.log10(chosenRate()))));
  const marks = h("datalist", { id: `${id}-marks` }, [1, 2, 3, 4, 5, 6].map((value) => h("option", { value })));
  const rateText = h("output", { class: "big", for: id });
  const facts = h("div", { class: "verdict-room" });
  const chart = h("div", { class: "chart-room" });
  const source = h("p", { class: "muted" });
  let people = 0;
  let latest = 0;
  const calibration = await get("calibration", null, signal);

  async function update() {
    const mine = ++latest;
    const rate = rateOf(slider);
    const one = await get("calibration", { fmr: rate }, signal);
    if (mine !== latest) return;
    const [point] = one.fmr;
    fill(facts, h("dl", { class: "facts wide" },
      h("div", null, h("dt", null, "Threshold"), h("dd", null, score(point.threshold))),
      h("div", null, h("dt", null, "Two photos of different people match"), h("dd", null, `${oneIn(rate)} times`)),
      h("div", null, h("dt", null, `A stranger gets a name among ${counted(people, "person", "people")}`), h("dd", null, people ? often(anyOf(rate, people)) : "no one is enrolled"))));
    fill(source, `Measured for ${calibration.space}.`, point.extrapolated ? " So low a rate could not be counted: the threshold follows from a model of the highest scores." : "");
    fill(chart, scoreScale({ calibration, threshold: point.threshold }));
  }

  let timer = null;
  const moved = () => {
    const rate = rateOf(slider);
    fill(rateText, oneIn(rate));
    slider.setAttribute("aria-valuetext", `${oneIn(rate)} strangers`);
    chooseRate(rate);
    clearTimeout(timer);
    timer = setTimeout(() => update().catch(failed), SETTLE_MS);
  };
  slider.addEventListener("input", moved);
  const chosen = await galleryField(signal, null, () => {});
  const recount = () => { people = chosen.galleries.find((gallery) => gallery.name === chosen.select.value)?.identities ?? 0; };
  chosen.select.addEventListener("change", () => { recount(); update().catch(failed); });
  recount();
  fill(page,
    h("section", { class: "slider" }, h("label", { for: id }, "False match rate"), rateText, slider, marks,
      h("div", { class: "ends", "aria-hidden": "true" }, h("span", null, "Finds more, errs more"), h("span", null, "Errs less, misses more"))),
    facts, chart, chosen.element,
    source);
  moved();
  await update();
}
