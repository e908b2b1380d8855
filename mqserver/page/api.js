// Questions to the server, and whether we are logged in.
//
// A session is a cookie, which no script can read, and a key in the storage of this origin. The
// server wants both: other ports of this host see the cookie, and other sites can have it sent.

const KEY = 'session-key';

/** What the server refused, or that it did not answer (status 0), in a sentence. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Told true and false as the server comes and goes. */
export const presence = new EventTarget();
const present = (is) => presence.dispatchEvent(new CustomEvent('change', { detail: is }));

async function ask(path, { method = 'GET', body, signal } = {}) {
  const headers = { 'x-session-key': localStorage.getItem(KEY) ?? '' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, { method, headers, signal, body: body && JSON.stringify(body) });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    present(false);
    throw new ApiError(0, 'The server does not answer.');
  }
  present(true);
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  throw new ApiError(response.status, sentence(error ?? `the server refused that (${response.status})`));
}

const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');

/** What the server says, as JSON. */
export const api = async (path, options) => (await ask(path, options)).json().catch(() => ({}));
/** The same, as it is. */
export const blob = async (path, options) => (await ask(path, options)).blob();

/** A path of the API: its parts may be any names. */
export const path = (...parts) => parts.map(encodeURIComponent).join('/');

/** `?a=b` of what is not empty. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== '');
  return given.length ? `?${new URLSearchParams(given)}` : '';
}

/** Was there a session here, that may still be good? */
export const known = () => localStorage.getItem(KEY) !== null;

export async function login(token) {
  const { key } = await api('session', { method: 'POST', body: { token } });
  localStorage.setItem(KEY, key);
}

export async function logout() {
  await api('session', { method: 'DELETE' });
  localStorage.removeItem(KEY);
}
