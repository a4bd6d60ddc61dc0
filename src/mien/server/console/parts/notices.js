// Short messages at the foot of the page; screen readers read them out.

import { h } from "./dom.js";
import { problem } from "./words.js";

const STAYS_MS = 6000;

function show(text, kind) {
  const place = document.getElementById("notices");
  const notice = h("div", { class: `notice ${kind}` }, text);
  place.append(notice);
  while (place.childElementCount > 3) place.firstElementChild.remove();
  setTimeout(() => notice.remove(), STAYS_MS);
}

/** Says that something was done. */
export const said = (text) => show(text, "good");

/** Says that something went wrong. A canceled request is nothing to tell. */
export function failed(error) {
  if (error.name !== "AbortError") show(problem(error), "bad");
}

/** An error where its result would have stood, with a way to try again. */
export function trouble(error, retry) {
  return h("div", { class: "trouble", role: "alert" },
    h("p", null, problem(error)),
    retry && h("button", { type: "button", onclick: retry }, "Try again"));
}
