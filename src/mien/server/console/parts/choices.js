// What the user chose and the pages share: the gallery and the false match rate.

import { get } from "./api.js";
import { choice, field } from "./dom.js";

const GALLERY = "mien.gallery";
const RATE = "mien.fmr";
const DEFAULT_RATE = 1e-4;

/** The false match rate that identify and compare use. */
export function chosenRate() {
  const kept = Number(localStorage.getItem(RATE));
  return kept > 0 && kept < 1 ? kept : DEFAULT_RATE;
}

export function chooseRate(rate) {
  localStorage.setItem(RATE, String(rate));
}

/** The gallery chosen last, if it is among `names`; else the first. */
export function chosenGallery(names, asked) {
  for (const name of [asked, sessionStorage.getItem(GALLERY)]) {
    if (name && names.includes(name)) return name;
  }
  return names[0] ?? null;
}

export function chooseGallery(name) {
  sessionStorage.setItem(GALLERY, name);
}

/** A field to choose the gallery in; `changed(name)` is called at once and after each choice. */
export async function galleryField(signal, asked, changed) {
  const { galleries } = await get("galleries", null, signal);
  const names = galleries.map((gallery) => gallery.name);
  const chosen = chosenGallery(names, asked);
  const select = choice(names.map((name) => [name, name]), chosen);
  select.addEventListener("change", () => {
    chooseGallery(select.value);
    changed?.(select.value);
  });
  if (chosen !== null) {
    chooseGallery(chosen);
    changed?.(chosen);
  }
  return { element: field("Gallery", select), select, galleries };
}
