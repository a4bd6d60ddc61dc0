// Pictures the user gives: files and folders by drop, choice or paste; and pictures with boxes drawn on them.

import { h, s } from "./dom.js";

const ENDINGS = /\.(jpe?g|png|webp|bmp|tiff?|gif|heic|heif|avif|jp2|ppm|pgm)$/i;

// As the style sheet has it, in pixels of the screen.
const WIDEST = 460;
const TALLEST = 560;
const LABEL = { size: 12.5, font: "600 12.5px system-ui, sans-serif" };

const isPicture = (file) => file.type.startsWith("image/") || ENDINGS.test(file.name);

/** An address of a blob for <img>; given back when the page is left. */
export function addressOf(blob, signal) {
  const url = URL.createObjectURL(blob);
  signal.addEventListener("abort", () => URL.revokeObjectURL(url), { once: true });
  return url;
}

/** A picture's thumbnail; a placeholder where the browser cannot show the format. */
export function thumbnail(blob, signal, alt = "") {
  const image = h("img", { src: addressOf(blob, signal), alt, loading: "lazy", class: "thumb" });
  image.addEventListener("error", () => image.replaceWith(h("span", { class: "thumb none" }, "No preview")));
  return image;
}

async function entriesOf(directory) {
  const reader = directory.createReader();
  const all = [];
  for (;;) {
    // The interface hands out a hundred at most; an empty answer is the end.
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!some.length) return all;
    all.push(...some);
  }
}

async function walk(entry, folder, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
    if (isPicture(file)) found.push({ file, folder });
  } else {
    for (const inside of await entriesOf(entry)) await walk(inside, entry.name, found);
  }
}

/** What was dropped: `{file, folder}`, the folder null for single files. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  if (!entries.length) return chosen(transfer.files);
  for (const entry of entries) await walk(entry, null, found);
  return found;
}

/** What a file field holds: the last folder of each file's path names it. */
function chosen(files) {
  return [...files].filter(isPicture).map((file) => {
    const parts = (file.webkitRelativePath || "").split("/");
    return { file, folder: parts.length > 1 ? parts.at(-2) : null };
  });
}

/**
 * A place to drop pictures on, with buttons that do the same.
 *
 * @param {{label: string, multiple?: boolean, folders?: boolean, take: (found: {file: File, folder: string|null}[]) => void}} options
 */
export function dropZone({ label, multiple = false, folders = false, take }) {
  const input = (properties) => {
    const element = h("input", { type: "file", class: "unseen", tabindex: "-1", "aria-hidden": "true", ...properties });
    element.addEventListener("change", () => {
      take(chosen(element.files));
      element.value = "";
    });
    return element;
  };
  const files = input({ accept: "image/*", multiple, "data-role": "files" });
  const folder = folders ? input({ webkitdirectory: true, multiple: true, "data-role": "folder" }) : null;
  const zone = h("div", { class: "drop", role: "group", "aria-label": label },
    h("p", null, label),
    h("div", { class: "row center" },
      h("button", { type: "button", onclick: () => files.click() }, multiple ? "Choose files" : "Choose a file"),
      folder && h("button", { type: "button", onclick: () => folder.click() }, "Choose a folder")),
    files, folder);
  const over = (on) => (event) => {
    event.preventDefault();
    zone.classList.toggle("over", on);
  };
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", async (event) => {
    over(false)(event);
    take(await dropped(event.dataTransfer));
  });
  return zone;
}

/** The picture with a numbered box around each face; `faces` are `{xyxy, label?, kind?}` in its own pixels; shown at most `tallest` screen pixels high. */
export function withBoxes(blob, signal, sizeWh, faces, alt, tallest = TALLEST) {
  const [width, height] = sizeWh;
  // Everything is drawn in the picture's own pixels; a unit is about a pixel of the screen.
  const unit = Math.max(width / Math.min(WIDEST, innerWidth - 48), height / tallest);
  const pen = h("canvas").getContext("2d");
  pen.font = LABEL.font;
  const boxes = faces.map((face, number) => {
    const [left, top, right, bottom] = face.xyxy;
    const label = face.label ?? String(number + 1);
    const tall = 18 * unit;
    const wide = (pen.measureText(label).width * 1.06 + 10) * unit;
    const x = Math.max(0, Math.min(left, width - wide));
    const y = top > tall ? top - tall : Math.min(bottom, height - tall);
    return s("g", { class: `box ${face.kind ?? ""}` },
      s("rect", { x: left, y: top, width: right - left, height: bottom - top, rx: 3 * unit, "stroke-width": 2.2 * unit }),
      s("rect", { class: "tag", x, y, width: wide, height: tall, rx: 3 * unit }),
      s("text", { x: x + 4.5 * unit, y: y + 13.5 * unit, "font-size": LABEL.size * unit }, label));
  });
  const image = h("img", { src: addressOf(blob, signal), alt, width, height });
  return h("div", { class: "boxed" }, image, s("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, boxes));
}
