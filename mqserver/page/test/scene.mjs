// A real server with people, lists and messages that wait; and a browser that notes all that goes wrong.

import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { writeFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { addNode, connect, register } from '../../../mqclient/js/dist/esm/node.js';
import { Browser } from '../../../mqclient/js/test/browser/browser.mjs';
import { Server, binary, until } from '../../../mqclient/js/test/server.mjs';

const WebSocket = createRequire(new URL('../../../mqclient/js/package.json', import.meta.url))('ws');

/** A name that does harm where it is taken for HTML. */
export const EVIL = `<img src=x onerror="document.title='harm'">`;

/** Prints the token of a store. */
export const adminToken = (store, ...more) => execFileSync(binary(), ['admin-token', '--store', store, ...more], { encoding: 'utf8' }).trim();

/** A server with an admin page, and the token. */
export async function start() {
  const server = await Server.start({ admin: true });
  return { server, token: adminToken(server.store) };
}

/** alice with two nodes and a queue of all sorts, bob who posts, carol with a long queue, lists. */
export async function people(server) {
  const { url } = server;
  const all = { alice: ['ally', 'al'], bob: ['bobby'], carol: ['caz'], [EVIL]: ['"><b>x'] };
  for (const [user, aliases] of Object.entries(all)) await register(url, { user, node: `${user.slice(0, 5)}-0`, aliases });
  await addNode(url, { user: 'alice', node: 'alice-1', prev: 'alice-0' });
  const bob = await connect(url, { user: 'bob', node: 'bob-0' });
  (async () => { for await (const message of bob) await message.ack(); })().catch(() => {});
  await bob.listEdit('team', 'add', ['alice', EVIL]);
  await bob.listEdit('team', 'invite', 'caz');
  await bob.listEdit('news', 'add', 'alice');
  await bob.post('alice', 'hello, alice\n<b>not bold</b>', { etc: { subject: 'a greeting' } });
  await bob.post('alice', new Uint8Array([0, 255, 137, 80, 78, 71, 10]));
  await bob.post({ alice: 0 }, 'for one of your nodes');
  await bob.post('alice', 'x'.repeat(200_000));
  await bob.post('alice', '');
  await Promise.all(Array.from({ length: 230 }, (_, i) => bob.post(['carol', EVIL], `number ${i}`)));
  return bob;
}

/** Registers `count` users with issued nodes, which cost no slow hash. */
export async function crowd(server, count) {
  const LINKS = 8;
  const name = (number) => `u${String(number).padStart(7, '0')}`;
  const link = async (first) => {
    // A link that does not log in is closed after some seconds: a few thousand users each.
    for (let from = first; from < count;) {
      const socket = new WebSocket(server.url);
      await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
      const end = Date.now() + 3000;
      while (from < count && Date.now() < end) {
        const batch = [];
        for (; batch.length < 200 && from < count; from += LINKS) batch.push(from);
        let left = batch.length;
        const answered = new Promise((resolve, reject) => {
          for (const event of ['message', 'close']) socket.removeAllListeners(event);
          socket.on('message', (data) => {
            const text = data.toString();
            if (!text.includes('registered')) reject(new Error(text));
            if (--left === 0) resolve();
          });
          socket.once('close', () => reject(new Error('closed')));
        });
        for (const number of batch) {
          const json = JSON.stringify({ op: 'register', userId: name(number), newNode: '', aliases: '', v: 2 });
          socket.send(Buffer.from(Buffer.byteLength(json).toString(16).padEnd(4) + json));
        }
        await answered;
      }
      socket.removeAllListeners('close');
      socket.close();
    }
  };
  await Promise.all(Array.from({ length: LINKS }, (_, i) => link(i)));
}

/** A tab of the admin page. */
export class Page {
  /** What a page should not say. */
  wrong = [];
  /** What was asked of the server, and refused. */
  refused = [];

  static async open(browser, url) {
    const page = new Page();
    page.browser = browser;
    page.url = url;
    page.tab = await browser.tab('about:blank', false);
    const { session } = page.tab;
    browser.listen((method, params, from) => {
      if (from !== session) return;
      if (method === 'Runtime.exceptionThrown') page.wrong.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
      if (method === 'Runtime.consoleAPICalled' && params.type !== 'debug') page.wrong.push(`console: ${params.args.map(({ value, description }) => value ?? description).join(' ')}`);
      if (method === 'Log.entryAdded') {
        const { level, source, text, url: of } = params.entry;
        if (source === 'network') page.refused.push(`${text} ${of}`);
        else if (level !== 'verbose') page.wrong.push(`${source} ${level}: ${text} ${of ?? ''}`);
      }
    });
    await page.send('Runtime.enable');
    await page.send('Log.enable');
    await page.goto(url);
    return page;
  }

  send(method, params) {
    return this.browser.send(method, params, this.tab.session);
  }

  goto(url) {
    return this.tab.navigate('Page.navigate', { url }, false);
  }

  run(expression) {
    return this.tab.run(expression);
  }

  /** The text that is shown. */
  text() {
    return this.run('document.body.innerText');
  }

  shows(text) {
    return until(() => this.run(`document.body.innerText.includes(${JSON.stringify(text)})`), text).catch(async (error) => {
      throw new Error(`${error.message}; shown is:\n${await this.text()}`);
    });
  }

  /** Waits until a view has come. */
  async view(hash, heading) {
    await this.run(`new Promise((done) => {
      if (location.hash === ${JSON.stringify(hash)}) return done();
      addEventListener('hashchange', () => setTimeout(done), { once: true });
      location.hash = ${JSON.stringify(hash)};
    })`);
    await this.heading(heading);
  }

  async heading(heading) {
    await until(() => this.run(`document.querySelector('main[aria-busy]') === null && document.querySelector('h1')?.textContent === ${JSON.stringify(heading)}`), `the view ${heading}`).catch(async (error) => {
      throw new Error(`${error.message}; shown is:\n${await this.text()}`);
    });
  }

  async login(token) {
    await this.heading('Log in');
    await this.type(token);
    await this.key('Enter');
  }

  type(text) {
    return this.send('Input.insertText', { text });
  }

  async key(key, modifiers = 0) {
    const codes = { Enter: 13, Tab: 9, Escape: 27, ' ': 32, ArrowDown: 40, ArrowUp: 38 };
    const text = { Enter: '\r', ' ': ' ' }[key];
    const params = { key, code: key === ' ' ? 'Space' : key, windowsVirtualKeyCode: codes[key], modifiers };
    await this.send('Input.dispatchKeyEvent', { type: text ? 'keyDown' : 'rawKeyDown', text, ...params });
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', ...params });
  }

  /** What has the focus: its words, or its label. */
  focused() {
    return this.run(`(() => {
      const { activeElement: at } = document;
      return at.labels?.[0]?.textContent || at.textContent.trim() || at.id || at.tagName;
    })()`);
  }

  /** Goes by Tab to what has these words. */
  async tabTo(words, most = 60) {
    for (let i = 0; i < most; i++) {
      if ((await this.focused()).startsWith(words)) return;
      await this.key('Tab');
    }
    throw new Error(`Tab does not lead to ${words}`);
  }

  /** Clicks what has these words. */
  async click(words, among = 'button, a') {
    const found = await this.run(`(() => {
      const all = [...document.querySelectorAll(${JSON.stringify(among)})].filter((one) => one.checkVisibility() && one.textContent.trim() === ${JSON.stringify(words)});
      all.at(-1)?.focus();
      all.at(-1)?.click();
      return all.length;
    })()`);
    if (!found) throw new Error(`nothing to click says ${words}; shown is:\n${await this.text()}`);
  }

  size(width, height, mobile = false) {
    return this.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: mobile ? 2 : 1, mobile });
  }

  look({ dark = false, still = true } = {}) {
    return this.send('Emulation.setEmulatedMedia', { features: [
      { name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' },
      { name: 'prefers-reduced-motion', value: still ? 'reduce' : 'no-preference' },
    ] });
  }

  async picture(path) {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: false });
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, Buffer.from(data, 'base64'));
  }

  close() {
    return this.tab.close();
  }
}

export { Browser, connect };
