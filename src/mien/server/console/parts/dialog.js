// Modal questions. The browser's own <dialog> keeps the focus inside and gives it back.

import { field, fill, freshId, h } from "./dom.js";
import { problem } from "./words.js";

/**
 * Opens a dialog with a form.
 *
 * @param {{title: string, body: Node[], action: string, danger?: boolean, cancel?: string|null, submit: () => any, ready?: (check: () => void) => boolean}} question
 *   `submit` is called with the dialog open; what it throws is shown in it. `ready` says whether the action may be chosen.
 * @returns what `submit` returned, or null if the dialog was left.
 */
export function ask({ title, body, action, danger = false, cancel = "Cancel", submit, ready }) {
  return new Promise((resolve) => {
    const headId = freshId("head");
    const wrong = h("p", { class: "wrong", role: "alert" });
    const go = h("button", { type: "submit", class: danger ? "danger" : "primary" }, action);
    const form = h("form", { method: "dialog", novalidate: true },
      h("h2", { id: headId }, title), body, wrong,
      h("div", { class: "row end" }, cancel && h("button", { type: "button", onclick: () => dialog.close() }, cancel), go));
    const dialog = h("dialog", { "aria-labelledby": headId }, form);
    let result = null;
    const check = () => { go.disabled = ready ? !ready() : false; };
    form.addEventListener("input", check);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (go.disabled) return;
      go.disabled = true;
      fill(wrong);
      try {
        result = (await submit()) ?? true;
        dialog.close();
      } catch (error) {
        fill(wrong, problem(error));
        check();
      }
    });
    dialog.addEventListener("close", () => { dialog.remove(); resolve(result); });
    document.body.append(dialog);
    check();
    dialog.showModal();
    (dialog.querySelector("input, select, textarea") ?? go).focus();
  });
}

/** Asks for a yes. */
export const confirm = (title, text, action, submit) => ask({ title, body: [h("p", null, text)], action, danger: true, submit });

/** Asks for a yes that nobody gives by mistake: `name` has to be typed. */
export function confirmTyped(title, text, name, action, submit) {
  const typed = h("input", { type: "text", autocomplete: "off", spellcheck: "false" });
  const body = [h("p", null, text), h("p", null, "To confirm, type ", h("strong", { class: "name" }, name)), field("Name", typed)];
  return ask({ title, body, action, danger: true, submit, ready: () => typed.value.trim() === name.trim() });
}
