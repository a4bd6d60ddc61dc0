// Long work: bulk enrollments and migrations.

import { call, get } from "../parts/api.js";
import { ask, confirm } from "../parts/dialog.js";
import { choice, empty, field, fill, h, loading } from "../parts/dom.js";
import { failed, said, trouble } from "../parts/notices.js";
import { ago, count, counted, problem, time } from "../parts/words.js";

export const title = "Jobs";
export const lead = "Work that takes long goes on here, whether this page is open or not.";

const SOON_MS = 1000;
const LATER_MS = 5000;
const KINDS = { enroll: "Enrollment of many photos", migrate: "Migration to another model" };
const STATES = { queued: "Waiting", running: "Running", done: "Done", failed: "Failed", canceled: "Canceled" };
const active = (job) => job.state === "queued" || job.state === "running";

function failure(one) {
  return h("li", null, h("strong", null, one.item ?? one.identity ?? ""), ": ", problem({ ...one.error, message: one.error?.message }));
}

/** A job's card, made once and changed in place: a card drawn anew would lose the focus. */
function card(job, cancel) {
  const state = h("span", { class: "pill" });
  const bar = h("progress", { max: 1, "aria-label": `Progress of ${KINDS[job.kind] ?? job.kind}` });
  const numbers = h("span", { class: "muted" });
  const stop = h("button", { type: "button", class: "small", onclick: () => cancel(job) }, "Cancel");
  const wrong = h("p", { class: "wrong" });
  const failures = h("details", { class: "fold" }, h("summary"), h("ul"));
  // The list of jobs says how many failed; which ones is asked for when somebody looks.
  const list = async () => {
    if (!failures.open) return;
    const whole = await get(`jobs/${encodeURIComponent(job.id)}`);
    fill(failures.querySelector("ul"), whole.failures.slice(0, 200).map(failure));
  };
  failures.addEventListener("toggle", () => list().catch(failed));
  const element = h("li", { class: "job" },
    h("div", { class: "section-head" }, h("h2", null, KINDS[job.kind] ?? job.kind, job.gallery && ` in ${job.gallery}`), state),
    bar,
    h("div", { class: "row between" }, numbers, stop),
    wrong, failures);
  let shown = "";
  const update = (now) => {
    if (JSON.stringify(now) === shown) return;
    shown = JSON.stringify(now);
    fill(state, STATES[now.state] ?? now.state);
    state.dataset.state = now.state;
    if (now.total) {
      bar.max = now.total;
      bar.value = now.done;
    } else if (active(now)) bar.removeAttribute("value");
    else bar.value = now.state === "done" ? 1 : 0;
    fill(numbers, now.total ? `${count(now.done)} of ${count(now.total)}` : "", " · started ", h("time", { title: time(now.started ?? now.created) }, ago(now.started ?? now.created)));
    stop.hidden = !active(now);
    fill(wrong, now.error ? problem(now.error) : "");
    failures.hidden = !now.failed;
    fill(failures.querySelector("summary"), counted(now.failed ?? 0, "photo failed", "photos failed"));
    list().catch(failed);
  };
  update(job);
  return { element, update };
}

async function migrate(signal, again) {
  const [{ galleries }, { models }] = await Promise.all([get("galleries", null, signal), get("models", null, signal)]);
  const gallery = choice(galleries.map((one) => [one.name, one.options.portraits ? one.name : `${one.name} (no pictures kept)`]));
  const embedders = models.filter((model) => model.task === "embedder");
  const model = choice(embedders.map((one) => [one.name, one.in_use ? `${one.name} (in use)` : one.name]));
  const started = await ask({
    title: "Move a gallery to another model",
    body: [
      h("p", null, "The templates are made anew from the pictures that the gallery keeps. A gallery without pictures cannot be moved this way."),
      field("Gallery", gallery), field("Model", model),
    ],
    action: "Start",
    ready: () => gallery.value !== "" && model.value !== "",
    submit: () => call("POST", "jobs/migrate", { json: { gallery: gallery.value, embedder: model.value }, signal }),
  });
  if (!started) return;
  said("The migration has started.");
  again();
}

export async function show(page, { signal }) {
  const list = h("ul", { class: "jobs" });
  const room = h("div", null, loading(4));
  const start = h("button", { type: "button" }, "Migrate a gallery");
  const cards = new Map();
  let timer = null;

  async function cancel(job) {
    const done = await confirm("Cancel this job?", "What it has done so far stays.", "Cancel the job", () => call("DELETE", `jobs/${encodeURIComponent(job.id)}`, { signal }));
    if (!done) return;
    said("The job is canceled.");
    await update();
  }

  async function update() {
    clearTimeout(timer);
    const { jobs } = await get("jobs", null, signal);
    if (!jobs.length) {
      cards.clear();
      fill(room, empty("No jobs yet", "Enrolling more than 60 photos at once starts one.", h("a", { class: "button primary", href: "#/enroll" }, "Enroll a folder")));
    } else {
      if (!list.isConnected) fill(room, list);
      for (const job of jobs) {
        if (cards.has(job.id)) cards.get(job.id).update(job);
        else {
          const fresh = card(job, cancel);
          cards.set(job.id, fresh);
          if (cards.size <= jobs.length && list.firstElementChild && jobs[0].id === job.id) list.prepend(fresh.element);
          else list.append(fresh.element);
        }
      }
      const there = new Set(jobs.map((job) => job.id));
      for (const [id, old] of cards) {
        if (there.has(id)) continue;
        old.element.remove();
        cards.delete(id);
      }
    }
    timer = setTimeout(() => update().catch(retry), jobs.some(active) ? SOON_MS : LATER_MS);
  }

  const retry = (error) => {
    if (error.name !== "AbortError") fill(room, trouble(error, () => update().catch(retry)));
  };
  start.addEventListener("click", () => migrate(signal, () => update().catch(retry)).catch(retry));
  fill(page, h("div", { class: "row" }, h("a", { class: "button", href: "#/enroll" }, "Enroll a folder"), start), room);
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  await update();
}
