// Makes elements. Text only ever goes in as text: nothing here, or anywhere in the console, parses markup.

const SVG = "http://www.w3.org/2000/svg";

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

function set(element, properties) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, String(value));
  }
  return element;
}

/** An HTML element with attributes, listeners (`onclick`) and children: nodes, texts, lists; null and false are left out. */
export function h(tag, properties, ...children) {
  const element = append(document.createElement(tag), children);
  return set(element, properties);
}

/** An SVG element. */
export function s(tag, properties, ...children) {
  return append(set(document.createElementNS(SVG, tag), properties), children);
}

/** Puts `children` in place of whatever `element` holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  return append(element, children);
}

let counter = 0;

/** An id that no other element has. */
export function freshId(stem = "id") {
  counter += 1;
  return `${stem}-${counter}`;
}

/** A label above its control, with an optional hint that screen readers read with it. */
export function field(label, control, hint) {
  control.id ||= freshId("field");
  const hintId = hint ? freshId("hint") : null;
  if (hintId) control.setAttribute("aria-describedby", hintId);
  return h("div", { class: "field" },
    h("label", { for: control.id }, label),
    control,
    hint && h("p", { class: "hint", id: hintId }, hint));
}

/** A drop-down list of [value, text] pairs. */
export function choice(pairs, chosen, properties) {
  const select = h("select", properties, pairs.map(([value, text]) => h("option", { value }, text)));
  if (chosen !== undefined && chosen !== null) select.value = chosen;
  return select;
}

/** A table with a caption for screen readers; scrolls by itself where it is too wide. */
export function table(caption, heads, rows, properties) {
  return h("div", { class: "table-scroll", tabindex: "0", role: "group", "aria-label": caption },
    h("table", properties,
      h("caption", { class: "unseen" }, caption),
      h("thead", null, h("tr", null, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", null, rows)));
}

/** What stands where there is nothing yet, with the next step. */
export function empty(title, text, ...actions) {
  return h("div", { class: "empty" }, h("h2", null, title), h("p", null, text), actions.length ? h("p", { class: "row center" }, actions) : null);
}

/** A gray place holder of `lines` lines while something loads. */
export function loading(lines = 3, label = "Loading") {
  return h("div", { class: "loading", role: "img", "aria-label": label },
    Array.from({ length: lines }, () => h("div", { class: "bar" })));
}
