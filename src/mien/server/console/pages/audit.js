// Who did what, and when.

import { get } from "../parts/api.js";
import { choice, empty, field, fill, h, loading, table } from "../parts/dom.js";
import { deed } from "../parts/deeds.js";
import { failed, trouble } from "../parts/notices.js";
import { time } from "../parts/words.js";

export const title = "Audit log";
export const lead = "Who did what, and when. Pictures and templates are never in it.";

const PAGE = 100;

function row(entry) {
  const good = (entry.status ?? 200) < 400;
  return h("tr", null,
    h("td", { class: "nowrap" }, time(entry.at)),
    h("td", null, entry.caller),
    h("th", { scope: "row" }, deed(entry.action)),
    h("td", null, entry.gallery ?? ""),
    h("td", { class: "muted" }, entry.subject ? entry.subject.slice(0, 8) : ""),
    h("td", null, h("span", { class: "pill", "data-state": good ? "done" : "failed" }, good ? "Done" : `Refused (${entry.status})`)));
}

export async function show(page, { signal }) {
  const list = h("div", null, loading(8));
  const caller = h("input", { type: "search", autocomplete: "off", spellcheck: "false" });
  const identity = h("input", { type: "search", autocomplete: "off", spellcheck: "false" });
  const action = choice([["", "All"]], "");
  const seen = new Set();

  function notice(entries) {
    for (const entry of entries) {
      if (seen.has(entry.action)) continue;
      seen.add(entry.action);
      action.append(h("option", { value: entry.action }, deed(entry.action)));
    }
  }

  const asked = (before) => ({ limit: PAGE, before, caller: caller.value.trim(), action: action.value, identity: identity.value.trim() });

  async function load() {
    try {
      const found = await get("audit", asked(), signal);
      notice(found.entries);
      if (!found.entries.length) {
        fill(list, empty("Nothing to show", "Enrollments, searches, changes and refusals are written here as they happen."));
        return;
      }
      const body = table("Audit log", ["When", "Who", "What", "Gallery", "Person (digest)", "Outcome"], found.entries.map(row));
      fill(list, body);
      addMore(body.querySelector("tbody"), found.next);
    } catch (error) {
      if (error.name !== "AbortError") fill(list, trouble(error, load));
    }
  }

  function addMore(rows, next) {
    if (next === null || next === undefined) return;
    const more = h("button", { type: "button" }, "Show older");
    const line = h("p", { class: "row center" }, more);
    list.append(line);
    more.addEventListener("click", async () => {
      more.disabled = true;
      try {
        const found = await get("audit", asked(next), signal);
        notice(found.entries);
        line.remove();
        rows.append(...found.entries.map(row));
        addMore(rows, found.next);
      } catch (error) {
        more.disabled = false;
        failed(error);
      }
    });
  }

  caller.addEventListener("change", load);
  action.addEventListener("change", load);
  identity.addEventListener("change", load);
  fill(page, h("div", { class: "controls" }, field("Who", caller), field("What", action), field("About the person", identity, "Names are not in the log; it knows them again by a digest.")), list);
  await load();
}
