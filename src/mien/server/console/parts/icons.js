// The icons of the pages: strokes on a field of 24 by 24.

import { s } from "./dom.js";

const STROKES = {
  dashboard: "M4 13h7V4H4zM13 20h7v-9h-7zM13 8h7V4h-7zM4 20h7v-4H4z",
  enroll: "M10 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM3 20c.6-4 3.4-6 7-6 2 0 3.7.6 5 1.7M18 14v7M14.5 17.5h7",
  identify: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16 16l5 5M8.5 12.5c1.400 1.300 3.600 1.300 5 0M9 9v.5M13 9v.5",
  compare: "M4 5h7v14H4zM13 5h7v14h-7zM6 10h3M15 10h3",
  people: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c.5-3.600 3-5.5 6.5-5.5s6 1.900 6.5 5.5M16 4.300a3.5 3.5 0 0 1 0 6.400M18 14.800c2 .8 3.200 2.600 3.5 5.200",
  threshold: "M4 8h9M19 8h1M4 16h2M12 16h8M16 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM9 19a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
  jobs: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3.5 2",
  audit: "M6 3h9l4 4v14H6zM9 11h7M9 15h7M9 7h3",
  keys: "M8 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 12h9v4M17 12v3",
};

/** The icon of a page; screen readers pass over it. */
export function icon(name) {
  return s("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: STROKES[name] }));
}
