// The camera, with what the quality gate says of the face in front of it.

import { sendImage } from "./api.js";
import { fill, h, s } from "./dom.js";
import { guidance, problem } from "./words.js";

const LOOK_EVERY_MS = 350;
const LOOK_WIDTH = 640;
// A word that changes three times a second cannot be read, nor heard.
const SETTLE_LOOKS = 2;

function frame(video, width, quality) {
  const canvas = h("canvas");
  const shrink = Math.min(1, width / video.videoWidth);
  canvas.width = Math.round(video.videoWidth * shrink);
  canvas.height = Math.round(video.videoHeight * shrink);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg", quality); });
}

function refusedWords(error) {
  if (error.name === "NotAllowedError") return "The browser was not allowed to use the camera. Allow it in the address bar, and try again.";
  if (error.name === "NotFoundError") return "No camera was found.";
  if (error.name === "NotReadableError") return "Another program is using the camera.";
  return error.message;
}

/** What a look at one frame says: `{good, text}`. */
async function look(video, signal) {
  const blob = await frame(video, LOOK_WIDTH, 0.85);
  const { faces } = await sendImage("quality", blob, { largest: true }, { signal });
  if (!faces.length) return { good: false, text: "No face yet. Look into the camera." };
  const reasons = faces[0].reasons ?? [];
  if (!faces[0].good_enough) return { good: false, text: guidance(reasons).slice(0, 2).join(" ") };
  return { good: true, text: "Good. Take the photo." };
}

/**
 * A camera panel.
 *
 * @param {{signal: AbortSignal, take: (file: File) => void, guide?: boolean}} options `signal` ends when the page is left.
 */
export function camera({ signal, take, guide = true }) {
  const video = h("video", { playsinline: true, "aria-label": "Camera picture" });
  video.muted = true;
  const advice = h("p", { class: "advice", role: "status", "aria-live": "polite" }, "The camera is off.");
  const shutter = h("button", { type: "button", class: "primary", disabled: true }, "Take photo");
  const power = h("button", { type: "button" }, "Turn the camera on");
  const oval = s("svg", { class: "oval", viewBox: "0 0 4 3", "aria-hidden": "true" },
    s("ellipse", { cx: 2, cy: 1.45, rx: 0.78, ry: 1.05 }));
  const stage = h("div", { class: "stage" }, video, oval);
  const panel = h("div", { class: "camera" }, stage, advice, h("div", { class: "row center" }, power, shutter));
  let stream = null;
  let taken = 0;

  const say = (text, kind) => {
    if (advice.textContent !== text) fill(advice, text);
    panel.dataset.state = kind;
  };

  function stop(text = "The camera is off.") {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    shutter.disabled = true;
    power.textContent = "Turn the camera on";
    say(text, "off");
  }

  async function watch(watched) {
    let last = "";
    let seen = 0;
    while (stream === watched) {
      const began = performance.now();
      try {
        const { good, text } = await look(video, signal);
        if (stream !== watched) return;
        seen = text === last ? seen + 1 : 1;
        last = text;
        if (seen >= SETTLE_LOOKS || panel.dataset.state === "wait") say(text, good ? "good" : "poor");
      } catch (error) {
        if (error.name === "AbortError" || stream !== watched) return;
        say(problem(error), "poor");
        if (error.status === 401) return;
      }
      await new Promise((resolve) => { setTimeout(resolve, Math.max(50, LOOK_EVERY_MS - (performance.now() - began))); });
    }
  }

  async function start() {
    if (!navigator.mediaDevices) {
      say("Browsers give the camera to HTTPS pages only, or to this machine's own address (localhost).", "poor");
      return;
    }
    power.disabled = true;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 960 } } });
      if (signal.aborted) { stop(); return; }
      video.srcObject = stream;
      await video.play();
      power.textContent = "Turn the camera off";
      shutter.disabled = false;
      say(guide ? "One moment." : "The camera is on.", "wait");
      if (guide) watch(stream);
    } catch (error) {
      stop(refusedWords(error));
      panel.dataset.state = "poor";
    } finally {
      power.disabled = false;
    }
  }

  power.addEventListener("click", () => (stream ? stop() : start()));
  shutter.addEventListener("click", async () => {
    taken += 1;
    take(new File([await frame(video, Infinity, 0.95)], `camera-${taken}.jpg`, { type: "image/jpeg" }));
  });
  signal.addEventListener("abort", () => stop(), { once: true });
  panel.stop = stop;
  return panel;
}
