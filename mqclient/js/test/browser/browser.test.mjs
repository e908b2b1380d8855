// The client in a real browser, against a real server.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect, register } from '../../dist/esm/node.js';
import { folder, inTime, Server, sleep, until } from '../server.mjs';
import { Program } from '../program.mjs';
import { Browser, serve } from './browser.mjs';

let server, site, browser;
before(async () => {
  server = await Server.start();
  site = await serve();
  browser = await Browser.start();
});
after(() => Promise.all([server?.stop(), site?.close(), browser?.kill()]));

let count = 0;
/** A new user with a node of the same name. */
async function user() {
  const name = `user${++count}`;
  await register(server.url, { user: name, node: name });
  return name;
}

async function take(client) {
  const { value } = await inTime(client[Symbol.asyncIterator]().next(), 'a message');
  await value.ack();
  return value;
}

/** In the page: connects as `user`, and leaves the client as `client`; says the error's code if it fails. */
const login = (url, user, options = {}) => mq.connect(url, { user, node: user, minPause: 10, maxPause: 50, ...options })
  .then((client) => {
    globalThis.client = client;
    client.on('error', (error) => (globalThis.ended = error.code));
    globalThis.settled = [];
    client.on('settled', (id, result) => settled.push(result));
    return 'ok';
  }, (error) => error.code);

test('a page registers, posts, receives and acks', async () => {
  const tab = await browser.tab(site.url);
  const name = `user${++count}`;
  assert.match((await tab.call((url, user) => mq.register(url, { user, aliases: [`${user}-alias`] }), server.url, name)).node, /^mqs_/);
  const alice = await user();
  assert.equal(await tab.call(login, server.url, alice), 'ok');
  const got = await tab.call(async (user) => {
    const receipt = await client.post([user], new Uint8Array([0, 255]), { etc: { größe: 1 } });
    for await (const message of client) {
      await message.ack();
      const { id, from, kind, etc, data } = message;
      return { same: id === receipt.msgid, from, kind, etc, data: [...data] };
    }
  }, alice);
  assert.deepEqual(got, { same: true, from: alice, kind: 'deliver', etc: { größe: 1 }, data: [0, 255] });
  await tab.run('client.close()');
  await tab.close();
});

test('who is not let in is told why, as far as browsers tell it', async () => {
  const tab = await browser.tab(site.url);
  const alice = await user();
  assert.equal(await tab.call(login, 'ws://127.0.0.1:1', alice), 'Connect');
  assert.equal(await tab.call(login, 'http://h', alice), 'Address');
  assert.equal(await tab.call(login, server.url, alice, { node: 'wrong' }), 'NodeUnknown');
  assert.equal(await tab.call(login, server.url, 'nobody'), 'UserUnknown');
  assert.equal(await tab.call(login, server.url, alice), 'ok');
  assert.equal(await tab.call((user) => client.post(user, new Uint8Array(17e6)).catch((error) => error.code), alice), 'TooLarge');
  await tab.close();
});

test('an attachment of 10 MB goes from page to page as it was', async () => {
  const [alice, bob] = [await user(), await user()];
  const [from, to] = [await browser.tab(site.url), await browser.tab(site.url)];
  assert.equal(await from.call(login, server.url, alice), 'ok');
  assert.equal(await to.call(login, server.url, bob), 'ok');
  const hash = async (bytes) => [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].join();
  const sent = await from.run(`(async () => {
    const data = new Uint8Array(10_000_000);
    for (let at = 0; at < data.length; at += 65536) crypto.getRandomValues(data.subarray(at, at + 65536));
    await client.post('${bob}', data);
    return (${hash})(data);
  })()`);
  const received = await to.run(`(async () => {
    for await (const message of client) {
      await message.ack();
      return (${hash})(message.data);
    }
  })()`);
  assert.equal(received, sent);
  await Promise.all([from.close(), to.close()]);
});

test('a server killed in the midst of posts has each of them once, in order', async () => {
  const [alice, bob] = [await user(), await user()];
  const tab = await browser.tab(site.url);
  assert.equal(await tab.call(login, server.url, alice, { outbox: true }), 'ok');
  const post = (to, from, end) => {
    globalThis.receipts ??= [];
    for (let i = from; i < end; i++) receipts.push(client.post(to, String(i)));
  };
  await tab.call(post, bob, 0, 250);
  await tab.run('receipts[100]');
  // Stopped, it acks nothing of what is sent now.
  server.pause();
  await tab.call(post, bob, 250, 500);
  await server.kill();
  await server.start();
  await tab.run('Promise.all(receipts)');
  assert.ok(await tab.run('client.stats.reconnects') > 0);
  const client = await connect(server.url, { user: bob, node: bob });
  for (let i = 0; i < 500; i++) assert.equal((await take(client)).text, String(i));
  assert.equal(client.stats.redelivered, 0);
  await client.close();
  await tab.close();
});

test('the outbox survives a reload of the page and a crash of the browser', async () => {
  const [alice, bob] = [await user(), await user()];
  let own = await Browser.start();
  let tab = await own.tab(site.url);
  const offline = { outbox: true, beginOffline: true };
  const post = (to, text) => client.startPost(to, text).then(({ id }) => id);
  assert.equal(await tab.call(login, 'ws://127.0.0.1:1', alice, offline), 'ok');
  const first = await tab.call(post, bob, 'before the reload');
  await tab.reload();
  assert.equal(await tab.call(login, 'ws://127.0.0.1:1', alice, offline), 'ok');
  assert.equal(await tab.run('client.stats.unacked'), 1);
  assert.ok(await tab.call(post, bob, 'before the crash') > first);
  await own.kill();

  own = await Browser.start(own.profile);
  tab = await own.tab(site.url);
  assert.equal(await tab.call(login, server.url, alice, offline), 'ok');
  await tab.call((to) => client.post(to, 'behind'), bob);
  const client = await connect(server.url, { user: bob, node: bob });
  for (const text of ['before the reload', 'before the crash', 'behind']) assert.equal((await take(client)).text, text);
  assert.equal(await tab.run('settled.length'), 2);
  await client.close();
  await own.kill();
});

test('what was acked is not shown again after a reload', async () => {
  const [alice, bob] = [await user(), await user()];
  const own = await Server.start();
  for (const name of [alice, bob]) await register(own.url, { user: name, node: name });
  const tab = await browser.tab(site.url);
  assert.equal(await tab.call(login, own.url, bob, { outbox: true }), 'ok');
  const client = await connect(own.url, { user: alice, node: alice, minPause: 10 });
  await client.post(bob, 'one');
  await tab.run('client[Symbol.asyncIterator]().next().then(({ value }) => { globalThis.message = value; })');
  await own.kill();
  await until(() => tab.run('!client.stats.online'));
  await tab.run('message.ack()');
  await tab.reload();
  await own.start();
  assert.equal(await tab.call(login, own.url, bob, { outbox: true, beginOffline: true }), 'ok');
  await client.post(bob, 'two');
  assert.equal(await tab.run('client[Symbol.asyncIterator]().next().then(({ value }) => value.text)'), 'two');
  await Promise.all([client.close(), tab.close()]);
  await own.stop();
});

test('a second tab waits until the first one is closed, or fails, or takes the node over', async () => {
  const alice = await user();
  const [first, second, third] = [await browser.tab(site.url), await browser.tab(site.url), await browser.tab(site.url)];
  assert.equal(await first.call(login, server.url, alice, { outbox: true }), 'ok');
  assert.equal(await second.call(login, server.url, alice, { outbox: true, tabs: 'fail' }), 'NodeActive');

  const waiting = second.call(login, server.url, alice, { outbox: true });
  assert.equal(await Promise.race([waiting, sleep(300)]), undefined);
  assert.equal(await first.run('client.stats.online'), true);
  await first.close();
  assert.equal(await waiting, 'ok');

  assert.equal(await third.call(login, server.url, alice, { outbox: true, tabs: 'take' }), 'ok');
  await until(() => second.run("globalThis.ended === 'TakenOver'"));
  await third.call((to) => client.post(to, 'mine'), alice);
  assert.equal(await third.run('client.stats.online'), true);
  await Promise.all([second.close(), third.close()]);
});

test('a browser without space refuses the post, loses nothing, and takes the next when there is room', async () => {
  const [alice, bob] = [await user(), await user()];
  // An origin that has used nothing yet: browsers remember for a while how much room there was.
  const fresh = await serve();
  const { origin } = new URL(fresh.url);
  const tab = await browser.tab(fresh.url);
  await browser.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 1_000_000 }, tab.session);
  assert.equal(await tab.call(login, server.url, alice, { outbox: true }), 'ok');
  // Random, as the browser packs what it stores.
  const post = (to, size) => {
    const data = new Uint8Array(size);
    for (let at = 0; at < size; at += 65536) crypto.getRandomValues(data.subarray(at, at + 65536));
    return client.post(to, data).then(() => 'ok', (error) => error.code);
  };
  assert.equal(await tab.call(post, bob, 1), 'ok');
  assert.equal(await tab.call(post, bob, 5_000_000), 'Disk');
  assert.equal(await tab.call(post, bob, 2), 'ok');
  const client = await connect(server.url, { user: bob, node: bob });
  for (const size of [1, 2]) assert.equal((await take(client)).data.length, size);
  await client.close();
  await tab.close();
  fresh.close();
});

test('the chat example: a page and a terminal talk, over a reload while the server is gone', async () => {
  const own = await Server.start();
  const cwd = folder();
  const pages = new Program(cwd, 'examples/chat/serve.mjs', '0');
  const terminal = new Program(cwd, 'examples/chat/terminal.mjs', own.url, 'tom', 'pia');
  await pages.prints('http://');
  await terminal.prints('you are tom');
  const tab = await browser.tab(`${pages.output.trim()}?server=${own.url}&me=pia&you=tom`, false);
  const shows = (text) => until(() => tab.run(`document.body.innerText.includes(${JSON.stringify(text)})`), text);
  const say = (said) => tab.run(`text.value = ${JSON.stringify(said)}; form.requestSubmit()`);
  await shows('online');
  await say('hello from the page');
  await terminal.prints('pia: hello from the page');
  terminal.types('hello from the terminal');
  await shows('tom: hello from the terminal');
  await own.kill();
  await shows('offline');
  await say('sent in the dark');
  await shows('pia: sent in the dark');
  await tab.reload(false);
  await own.start();
  await terminal.prints('pia: sent in the dark');
  await Promise.all([pages.kill(), terminal.kill(), tab.close()]);
  await own.stop();
});
