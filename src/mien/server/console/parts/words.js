// Numbers, times and errors in words.

const COUNT = new Intl.NumberFormat("en");
const TIME = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const AGO = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

const PROBLEMS = {
  unreachable: "The server does not answer. Is it running?",
  unauthorized: "This needs an API key.",
  overloaded: "The server is busy. Try again in a moment.",
  rate_limited: "Too many requests with this key. Wait a moment.",
  too_large: "This file is too large for the server.",
  no_face: "No face was found. Use a photo that shows the face clearly.",
  several_faces: "There are several faces. Use a photo of one person alone.",
  bad_image: "This file cannot be read as a picture.",
  space_mismatch: "This gallery was made with another model than the one in use. Migrate it on the page Jobs.",
  calibration_not_found: "The model in use has no calibration. Make one with “mien calibrate”.",
  gallery_not_found: "This gallery does not exist any more.",
  identity_not_found: "This person is not in the gallery any more.",
};

const GUIDANCE = {
  too_dark: "It is too dark. Turn to the light.",
  too_bright: "It is too bright. Move out of the direct light.",
  low_contrast: "The picture is flat. Avoid light from behind.",
  blurred: "The picture is blurred. Hold still and look at the camera.",
  compressed: "The picture is compressed too much. Use a better copy.",
  too_small: "The face is too small. Move closer.",
  turned_away: "Look straight at the camera.",
  leaning: "Hold your head upright.",
  cropped: "Part of the face is cut off. Move to the middle.",
  several_faces: "Only one person may be in the picture.",
  poor: "The picture is not good enough. Try more light, and come closer.",
  rotated: "The picture is not upright. Turn the camera.",
};

export const count = (number) => COUNT.format(number);

export const counted = (number, one, many) => `${COUNT.format(number)} ${number === 1 ? one : many}`;

export const score = (value) => value.toFixed(3);

/** A probability, never as a bare 0 or 1. */
export function probability(value) {
  if (value === null || value === undefined) return "no calibration";
  if (value > 0.9999) return "over\u00a099.99\u00a0%";
  if (value < 0.0001) return "under\u00a00.01\u00a0%";
  return `${(value * 100).toPrecision(value > 0.99 ? 4 : 3)}\u00a0%`;
}

/** A false match rate as "1 in 10,000". */
export function oneIn(rate) {
  const digits = Number((1 / rate).toPrecision(2));
  return digits < 10 ? `1 in ${Number((1 / rate).toFixed(1))}` : `1 in ${COUNT.format(digits)}`;
}

export const milliseconds = (value) => (value === null || value === undefined ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);

function moment(value) {
  return new Date(typeof value === "number" ? value * 1000 : value);
}

/** A time in full. */
export function time(value) {
  return value === null || value === undefined ? "–" : TIME.format(moment(value));
}

/** A time as "3 minutes ago". */
export function ago(value) {
  if (value === null || value === undefined) return "–";
  const seconds = (moment(value) - Date.now()) / 1000;
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return AGO.format(Math.round(seconds / size), unit);
  }
  return Math.abs(seconds) < 10 ? "just now" : AGO.format(Math.round(seconds), "second");
}

/** What is wrong with a face, as things to do, each once; a list of sentences. */
export function guidance(reasons) {
  return [...new Set(reasons.map((reason) => reason.message ?? GUIDANCE[reason.name] ?? reason.name ?? String(reason)))];
}

/** An error, in words. */
export function problem(error) {
  if (error.reasons?.length) return guidance(error.reasons).join(" ");
  if (error.code === "bad_image" && /at most [\d,]+ pixels/.test(error.message)) return "This picture has more pixels than the server takes.";
  return PROBLEMS[error.code] ?? error.message ?? String(error);
}
