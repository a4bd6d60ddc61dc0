// Talks to the server: the public API under v1/, nothing else.

const KEY = "mien.key";

/** What the server refused, or that it did not answer. */
export class Problem extends Error {
  constructor(status, code, detail, reasons = []) {
    super(detail);
    this.status = status;
    this.code = code;
    this.reasons = reasons;
  }
}

let askForKey = async () => null;
let asking = null;

/** Says how to ask the user for an API key; `ask(refusal)` resolves to the key, or to null. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

/** The key in use, or null. */
export function currentKey() {
  return sessionStorage.getItem(KEY);
}

/** Forgets the key. */
export function forgetKey() {
  sessionStorage.removeItem(KEY);
}

function address(path, query) {
  const url = new URL(`v1/${path}`, document.baseURI);
  for (const [name, value] of Object.entries(query ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") url.searchParams.append(name, String(one));
    }
  }
  return url;
}

async function refusal(response) {
  let told = {};
  try {
    told = await response.json();
  } catch {
    // A proxy's page, not the server's: the status has to do.
  }
  const detail = told.detail ?? told.title ?? response.statusText;
  return new Problem(response.status, told.code ?? `http_${response.status}`, String(detail), told.reasons ?? []);
}

async function newKey(refused) {
  asking ??= askForKey(refused).finally(() => { asking = null; });
  const key = await asking;
  if (key) sessionStorage.setItem(KEY, key);
  return key;
}

/**
 * Calls the server.
 *
 * @param {string} method
 * @param {string} path below v1/, its parts already encoded.
 * @param {{query?: object, json?: any, body?: BodyInit, type?: string, headers?: object, signal?: AbortSignal, as?: "json"|"blob"}} options
 * @returns the answer's JSON or blob; null where there is none.
 * @throws {Problem}
 */
export async function call(method, path, options = {}) {
  const { query, json, body, type, headers = {}, signal, as = "json" } = options;
  const url = address(path, query);
  for (;;) {
    const key = currentKey();
    const sent = { ...headers };
    if (key) sent.Authorization = `Bearer ${key}`;
    if (json !== undefined) sent["Content-Type"] = "application/json";
    else if (type) sent["Content-Type"] = type;
    let response;
    try {
      response = await fetch(url, { method, headers: sent, body: json === undefined ? body : JSON.stringify(json), signal, credentials: "omit", redirect: "error" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "unreachable", "The server does not answer. Is it running?");
    }
    if (response.status === 401) {
      const refused = await refusal(response);
      if (currentKey() !== key) continue;
      if (await newKey(key ? refused : null)) continue;
      throw refused;
    }
    if (!response.ok) throw await refusal(response);
    if (response.status === 204) return null;
    return as === "blob" ? response.blob() : response.json();
  }
}

export const get = (path, query, signal) => call("GET", path, { query, signal });

/** Sends one picture as it is. */
export function sendImage(path, blob, query, options = {}) {
  const type = blob.type.startsWith("image/") ? blob.type : "application/octet-stream";
  return call("POST", path, { query, body: blob, type, ...options });
}

/** The path of a gallery. */
export const inGallery = (name, rest = "") => `galleries/${encodeURIComponent(name)}${rest}`;

/** A new key for a request that must not be done twice. */
export function onceKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
