// A real Chromium without a window, driven over its DevTools protocol; and a site for its pages.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';
import { folder, inTime } from '../server.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const TYPES = { html: 'text/html', js: 'text/javascript', mjs: 'text/javascript' };

/** Serves the package's folder on a port of localhost, where pages have locks. */
export async function serve() {
  const server = createServer(({ url }, response) => {
    const path = new URL(url, 'http://localhost').pathname;
    try {
      const body = path === '/' ? '<!doctype html><title>test</title>' : readFileSync(root + path);
      response.writeHead(200, { 'content-type': TYPES[path.split('.').pop()] ?? TYPES.html }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, 'localhost', resolve));
  server.unref();
  return { url: `http://localhost:${server.address().port}/`, close: () => (server.closeAllConnections(), server.close()) };
}

const chromium = () => {
  const found = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
    .find((path) => path && existsSync(path));
  if (!found) throw new Error('no Chromium: set CHROMIUM to its path, or apt-get install chromium');
  return found;
};

export class Browser {
  #child;
  #socket;
  #lastId = 0;
  #answers = new Map();
  #listeners = [];

  /** Starts with the user's data in `profile`. */
  static async start(profile = folder()) {
    const browser = new Browser();
    browser.profile = profile;
    browser.#child = spawn(chromium(), [
      '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
      '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank',
    ], { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    process.on('exit', () => browser.#signal('SIGKILL'));
    let output = '';
    const url = await inTime(new Promise((resolve, reject) => {
      browser.#child.stderr.on('data', (data) => {
        output += data;
        const found = /DevTools listening on (ws:\S+)/.exec(output);
        if (found) resolve(found[1]);
      });
      browser.#child.once('exit', () => reject(new Error(`Chromium does not start: ${output}`)));
    }), 'Chromium', 60_000);
    const socket = (browser.#socket = new WebSocket(url));
    await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
    socket.on('error', () => {});
    socket.on('message', (data) => browser.#received(JSON.parse(data)));
    return browser;
  }

  #received({ id, result, error, method, params, sessionId }) {
    if (id === undefined) return this.#listeners.forEach((listener) => listener(method, params, sessionId));
    const { resolve, reject } = this.#answers.get(id);
    this.#answers.delete(id);
    if (error) reject(new Error(error.message));
    else resolve(result);
  }

  send(method, params = {}, sessionId) {
    const id = ++this.#lastId;
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    return new Promise((resolve, reject) => this.#answers.set(id, { resolve, reject }));
  }

  /** Calls `listener` with method, parameters and session of all that pages tell. */
  listen(listener) {
    this.#listeners.push(listener);
  }

  /** Resolves when a page tells of `method`. */
  heard(method, sessionId) {
    return inTime(new Promise((resolve) => {
      const listener = (told, params, session) => {
        if (told !== method || session !== sessionId) return;
        this.#listeners.splice(this.#listeners.indexOf(listener), 1);
        resolve(params);
      };
      this.#listeners.push(listener);
    }), method);
  }

  /** A tab that shows `url`, with the package as `mq` if it is `ours`. */
  async tab(url, ours = true) {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const tab = new Tab(this, targetId, sessionId);
    await this.send('Page.enable', {}, sessionId);
    await tab.navigate('Page.navigate', { url }, ours);
    return tab;
  }

  #signal(signal) {
    try {
      // All its processes, which are a group of their own.
      process.kill(-this.#child.pid, signal);
    } catch {
      // They are gone.
    }
  }

  async kill() {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#signal('SIGKILL');
    await gone;
  }
}

export class Tab {
  constructor(browser, target, session) {
    Object.assign(this, { browser, target, session });
  }

  async navigate(method, params, ours) {
    const loaded = this.browser.heard('Page.loadEventFired', this.session);
    await this.browser.send(method, params, this.session);
    await loaded;
    if (ours) await this.run("import('/dist/browser.min.js').then((mq) => { globalThis.mq = mq; })");
  }

  /** Evaluates an expression, and awaits it if it is a promise. */
  async run(expression) {
    const { result, exceptionDetails } = await inTime(this.browser.send('Runtime.evaluate', {
      expression, awaitPromise: true, returnByValue: true,
    }, this.session), expression, 60_000);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Calls a function of the page's with arguments that JSON can say. */
  call(run, ...args) {
    return this.run(`(${run})(${args.map((arg) => JSON.stringify(arg)).join()})`);
  }

  reload(ours = true) {
    return this.navigate('Page.reload', {}, ours);
  }

  close() {
    return this.browser.send('Target.closeTarget', { targetId: this.target });
  }
}
