// The frame: which view is shown, being logged in, and whether the server is there.

import { ApiError, api, known, login, logout, presence } from './api.js';
import { button, el } from './dom.js';

const get = (id) => document.getElementById(id);
const [main, nav, gone, told] = [get('main'), document.querySelector('nav'), get('gone'), get('told')];

/** How often what is live is asked for, in ms. */
const REFRESH = 2000;

/** Where each view is: module and function. */
const VIEWS = {
  '': ['overview', 'overview'],
  users: ['users', 'users'],
  user: ['users', 'user'],
  lists: ['lists', 'lists'],
  list: ['lists', 'list'],
  queue: ['queue', 'queue'],
  message: ['queue', 'message'],
  inactive: ['inactive', 'inactive'],
  events: ['events', 'events'],
  invite: ['invite', 'invite'],
};
/** The entry of the menu that a view belongs to. */
const BELOW = { user: 'users', queue: 'users', message: 'users', list: 'lists' };

let current = new AbortController();

/** What a view is given. */
class View {
  constructor(signal) {
    this.signal = signal;
  }

  /** Asks the server, as long as the view is shown. */
  api(path, options) {
    return api(path, { signal: this.signal, ...options });
  }

  /** Does `refresh` again and again, while the page can be seen. */
  async live(refresh) {
    const { signal } = this;
    while (!signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, REFRESH));
      if (document.hidden) await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true, signal }));
      if (signal.aborted) return;
      // A server that is gone is told of elsewhere.
      await refresh().catch((error) => this.failed(error));
    }
  }

  tell(text, bad) {
    tell(text, bad);
  }

  /** Does something that may fail, and says so; resolves to whether it went well. */
  async act(promise, done) {
    try {
      tell(done(await promise));
      return true;
    } catch (error) {
      this.failed(error, true);
      return false;
    }
  }

  failed(error, loud = false) {
    if (error.name === 'AbortError' || this.signal.aborted) return;
    if (error.status === 401) showLogin('Your session has ended.');
    else if (loud || error.status !== 0) tell(error.message, true);
    if (!(error instanceof ApiError)) throw error;
  }

  /** Another view, or this one anew. */
  go(hash) {
    if (location.hash === hash || hash === undefined) return route();
    location.hash = hash;
  }
}

let silence;
function tell(text, bad = false) {
  clearTimeout(silence);
  told.textContent = text;
  told.className = bad ? 'bad' : '';
  silence = setTimeout(() => { told.textContent = ''; }, bad ? 15000 : 8000);
}

function begin() {
  current.abort();
  current = new AbortController();
  return current.signal;
}

function show(title, nodes) {
  main.replaceChildren(...[nodes].flat());
  main.removeAttribute('aria-busy');
  document.title = `${title} – websocket.MQ`;
}

async function route() {
  if (!known()) return showLogin();
  const signal = begin();
  main.setAttribute('aria-busy', 'true');
  const [where, search] = location.hash.replace(/^#\/?/, '').split('?');
  const view = new View(signal);
  let nodes;
  let name;
  try {
    const [first, ...args] = where.split('/').map(decodeURIComponent);
    if (!Object.hasOwn(VIEWS, first)) throw new ApiError(404, 'There is no such view.');
    name = first;
    const [file, run] = VIEWS[name];
    const module = await import(`./${file}.js`);
    nodes = await module[run](view, args, new URLSearchParams(search));
  } catch (error) {
    if (signal.aborted) return;
    if (error.status === 401) return showLogin();
    nodes = [el('h1', { tabindex: -1 }, 'That did not work'), el('p', {}, error.message), button('Try again', route)];
    if (error.status === undefined) console.warn(error);
  }
  if (signal.aborted) return;
  nav.hidden = false;
  for (const entry of nav.querySelectorAll('a')) {
    const here = entry.getAttribute('href') === `#/${BELOW[name] ?? name}`;
    if (here) entry.setAttribute('aria-current', 'page');
    else entry.removeAttribute('aria-current');
  }
  const heading = nodes.find((node) => node.matches?.('h1') || node.querySelector?.('h1'));
  const h1 = heading?.matches('h1') ? heading : heading?.querySelector('h1');
  show(h1?.textContent ?? 'Admin', nodes);
  // Who reads with the ears hears what is shown now, and Tab goes on from there.
  h1?.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function showLogin(why = '') {
  begin();
  nav.hidden = true;
  const problem = el('p', { role: 'alert', class: 'bad' }, why);
  const token = el('input', { type: 'password', id: 'token', required: true, autocomplete: 'current-password', spellcheck: 'false' });
  const enter = el('button', { type: 'submit' }, 'Log in');
  const submit = async (event) => {
    event.preventDefault();
    enter.disabled = true;
    try {
      await login(token.value.trim());
      await route();
    } catch (error) {
      problem.textContent = error.message;
      token.select();
    }
    enter.disabled = false;
  };
  show('Log in', el('form', { class: 'login', onsubmit: submit },
    el('h1', {}, 'Log in'),
    el('label', { for: 'token' }, 'Token'),
    token,
    el('p', { class: 'hint' }, 'It is printed by ', el('code', {}, 'mqserver admin-token'), ' on the server’s machine.'),
    problem,
    enter));
  token.focus();
}

let waiting = false;
presence.addEventListener('change', async ({ detail: there }) => {
  gone.hidden = there;
  gone.textContent = there ? '' : 'The server does not answer. Trying again…';
  if (there || waiting) return;
  waiting = true;
  while (!(await fetch('/health').then(({ ok }) => ok, () => false))) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  waiting = false;
  gone.hidden = true;
  tell('The server is back.');
  if (!main.querySelector('.login')) route();
});

get('logout').addEventListener('click', async () => {
  await logout().catch(() => {});
  showLogin('You are logged out.');
});
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener('hashchange', route);
route();
