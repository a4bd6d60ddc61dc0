// API keys: who may do what.

import { call, get } from "../parts/api.js";
import { ask, confirm } from "../parts/dialog.js";
import { choice, empty, field, fill, freshId, h, loading, table } from "../parts/dom.js";
import { said } from "../parts/notices.js";
import { ago, time } from "../parts/words.js";

export const title = "API keys";
export const lead = "Each program and each person gets a key of their own, with no more rights than needed.";

const SCOPES = [
  ["read", "Look: find faces, compare photos, list people"],
  ["identify", "Identify: find out who is on a photo"],
  ["enroll", "Enroll: add, rename and erase people"],
  ["admin", "Everything, also galleries, keys and this log"],
];
const LIVES = [["", "Never"], [1, "In a day"], [30, "In 30 days"], [90, "In 90 days"], [365, "In a year"]];

async function showSecret(name, secret) {
  const shown = h("input", { type: "text", readonly: true, value: secret, class: "secret", spellcheck: "false" });
  const copied = h("span", { class: "muted", role: "status" });
  const copy = h("button", { type: "button", onclick: async () => {
    shown.select();
    try {
      await navigator.clipboard.writeText(secret);
      fill(copied, "Copied.");
    } catch {
      fill(copied, "Press Ctrl+C to copy.");
    }
  } }, "Copy");
  await ask({
    title: `The key of ${name}`,
    body: [
      h("p", null, "This is the only time that the key is shown. Keep it where secrets are kept."),
      field("Key", shown),
      h("p", { class: "row" }, copy, copied),
    ],
    action: "I have kept it",
    cancel: null,
    submit: () => true,
  });
}

async function create(signal, again) {
  const name = h("input", { type: "text", autocomplete: "off", maxlength: 100 });
  const boxes = SCOPES.map(([scope, text]) => {
    const box = h("input", { type: "checkbox", id: freshId("scope"), value: scope });
    box.checked = scope === "read";
    return { box, line: h("div", { class: "check" }, box, h("label", { for: box.id }, text)) };
  });
  const life = choice(LIVES, "");
  const galleries = h("input", { type: "text", autocomplete: "off", spellcheck: "false" });
  const chosen = () => boxes.filter(({ box }) => box.checked).map(({ box }) => box.value);
  const made = await ask({
    title: "New API key",
    body: [
      field("Name", name, "Who uses it. The audit log shows this name."),
      h("fieldset", null, h("legend", null, "Rights"), boxes.map(({ line }) => line)),
      field("Expires", life),
      field("Only for the galleries (may be empty)", galleries, "Separated by commas. Empty means all."),
    ],
    action: "Create the key",
    ready: () => name.value.trim() !== "" && chosen().length > 0,
    submit: () => {
      const only = galleries.value.split(",").map((one) => one.trim()).filter(Boolean);
      return call("POST", "keys", { json: { name: name.value.trim(), scopes: chosen(), expires_days: life.value ? Number(life.value) : null, galleries: only.length ? only : null }, signal });
    },
  });
  if (!made) return;
  await showSecret(name.value.trim(), made.secret);
  again();
}

function state(key) {
  if (key.revoked) return ["canceled", "Revoked"];
  if (key.expires && key.expires * 1000 < Date.now()) return ["failed", "Expired"];
  return ["done", "Valid"];
}

export async function show(page, { signal }) {
  const list = h("div", null, loading(4));
  const load = async () => {
    const { keys } = await get("keys", null, signal);
    if (!keys.length) {
      fill(list, empty("No keys yet", "On this machine the console works without one. Before others may reach the server, each needs a key.", h("button", { type: "button", class: "primary", onclick: () => create(signal, load) }, "Create the first key")));
      return;
    }
    fill(list, table("API keys", ["Name", "Rights", "Galleries", "Last used", "Expires", "State", h("span", { class: "unseen" }, "Actions")], keys.map((key) => {
      const [kind, word] = state(key);
      const revoke = async () => {
        const done = await confirm(`Revoke the key ${key.name}?`, "Whoever uses it is refused from now on. This cannot be undone.", "Revoke", () => call("DELETE", `keys/${encodeURIComponent(key.id)}`, { signal }));
        if (!done) return;
        said(`The key ${key.name} is revoked.`);
        load();
      };
      return h("tr", null,
        h("th", { scope: "row" }, key.name),
        h("td", null, key.scopes.join(", ")),
        h("td", null, key.galleries?.length ? key.galleries.join(", ") : "all"),
        h("td", { class: "nowrap" }, key.last_used ? h("time", { title: time(key.last_used) }, ago(key.last_used)) : "never"),
        h("td", { class: "nowrap" }, key.expires ? time(key.expires) : "never"),
        h("td", null, h("span", { class: "pill", "data-state": kind }, word)),
        h("td", { class: "end" }, !key.revoked && h("button", { type: "button", class: "quiet", "aria-label": `Revoke the key ${key.name}`, onclick: revoke }, "Revoke")));
    })));
  };
  fill(page, h("div", { class: "row" }, h("button", { type: "button", class: "primary", onclick: () => create(signal, load) }, "New key")), list);
  await load();
}
