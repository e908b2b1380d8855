// A client against a real server: posts, deliveries, lost links, and what goes wrong.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import WebSocket, { WebSocketServer } from 'ws';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { dial } from '../dist/esm/browser-link.js';
import { addNode, connect, MqError, register, TooLargeError } from '../dist/esm/node.js';
import { inTime, Server, sleep, until } from './server.mjs';

let server;
before(async () => (server = await Server.start({ tls: true })));
after(() => server.stop());

let users = 0;
/** A new user with one node, logged in. */
async function user(options = {}) {
  const name = `user${++users}`;
  await register(server.url, { user: name, node: `${name}-1` });
  const client = await connect(server.url, { user: name, node: `${name}-1`, ...options });
  return Object.assign(client, { user: name });
}

/** The next message, acked. */
async function take(client) {
  const { value } = await inTime(client[Symbol.asyncIterator]().next(), 'a message');
  await value.ack();
  return value;
}

const code = (expected) => (error) => error instanceof MqError && error.code === expected
  || assert.fail(`${expected} expected, not ${error.name}: ${error.message}`);

test('a post arrives with its etc and data, and the receipt names its id', async () => {
  const [alice, bob] = [await user(), await user()];
  const receipt = await alice.post(bob.user, new Uint8Array([0, 255, 10]), { etc: { subject: 'größe ✓' } });
  const message = await take(bob);
  assert.equal(message.id, receipt.msgid);
  assert.equal(message.posted, receipt.posted);
  assert.equal(message.from, alice.user);
  assert.equal(message.kind, 'deliver');
  assert.deepEqual(message.etc, { subject: 'größe ✓' });
  assert.deepEqual([...message.data], [0, 255, 10]);
  await Promise.all([alice.close(), bob.close()]);
});

test('recipients are named by a text, an array, or an object with types; the unknown are told', async () => {
  const [alice, bob] = [await user(), await user()];
  await bob.listEdit('team', 'add', alice.user);
  for (const client of [alice, bob]) assert.equal((await take(client)).kind, 'listEdited');
  await alice.post(bob.user, 'one');
  await alice.post([bob.user, '@team'], 'once');
  await alice.post({ team: 3 }, 'me too');
  const receipt = await alice.post({ [bob.user]: 0, nobody: true }, 'last');
  assert.deepEqual(receipt.failed, { nobody: 'userId unknown' });
  for (const text of ['one', 'once', 'me too', 'last']) assert.equal((await take(bob)).text, text);
  assert.equal((await take(alice)).text, 'me too');
  await assert.rejects(alice.post({ x: 7 }, ''), code('Argument'));
  await assert.rejects(alice.post('x', 5), code('Argument'));
  await assert.rejects(alice.post('x', '', { etc: 1n }), code('Argument'));
  await Promise.all([alice.close(), bob.close()]);
});

test('a message comes with the event, too, and acks go out in any order', async () => {
  const [alice, bob] = [await user(), await user()];
  const messages = [];
  bob.on('message', (message) => messages.push(message));
  for (const text of ['a', 'b', 'c']) await alice.post(bob.user, text);
  await until(() => messages.length === 3);
  await messages[2].ack();
  await messages[0].ack();
  await bob.close();
  const again = await connect(server.url, { user: bob.user, node: `${bob.user}-1` });
  assert.equal((await take(again)).text, 'b');
  await Promise.all([alice.close(), again.close()]);
});

test('an issued node logs in, has its own queue, and gets what waited for the earlier one', async () => {
  const { node } = await register(server.url, { user: 'carol' });
  assert.match(node, /^mqs_/);
  const carol = await connect(server.url, { user: 'carol', node });
  await carol.post('carol', 'waits');
  const added = await addNode(server.url, { user: 'carol', prev: node });
  assert.equal(added.offset, 1);
  const phone = await connect(server.url, { user: 'carol', node: added.node });
  assert.equal((await take(phone)).text, 'waits');
  assert.equal((await take(carol)).text, 'waits');
  assert.equal(phone.login.node, 1);
  await Promise.all([carol.close(), phone.close()]);
});

test('a ping finds the owner of an alias, and aliases can be replaced', async () => {
  const [alice, bob] = [await user(), await user()];
  const set = bob.setAliases([`${bob.user}-alias`, 'other']);
  assert.equal((await take(bob)).kind, 'registered');
  await set;
  await alice.ping(`${bob.user}-alias`, 'hey', { etc: [1] });
  const message = await take(bob);
  assert.deepEqual([message.text, message.etc], ['hey', [1]]);
  await assert.rejects(alice.ping('nobody has this', ''), code('Rejected'));
  await Promise.all([alice.close(), bob.close()]);
});

test('an attachment of 10 MB arrives as it was sent, between small messages', async () => {
  const [alice, bob] = [await user(), await user()];
  const large = randomBytes(10_000_000);
  const receipts = ['before', large, 'behind'].map((body) => alice.post(bob.user, body));
  await Promise.all(receipts);
  assert.equal((await take(bob)).text, 'before');
  assert.ok(large.equals((await take(bob)).data));
  assert.equal((await take(bob)).text, 'behind');
  await Promise.all([alice.close(), bob.close()]);
});

test('a message that is too large fails alone, told from the limit that the server names', async () => {
  const alice = await user({ maxMessage: 64 << 20 });
  const error = await alice.post(alice.user, new Uint8Array(17 << 20)).catch((error) => error);
  assert.ok(error instanceof TooLargeError);
  assert.equal(error.about, String(16 << 20));
  await alice.post(alice.user, 'small');
  assert.equal(alice.stats.reconnects, 0);
  const names = Array.from({ length: 9000 }, (_, i) => `name-${i}`);
  await assert.rejects(alice.post(names, ''), code('HeaderTooLong'));
  await alice.close();
});

test('who is not let in is told why, once', async () => {
  await register(server.url, { user: 'dora', node: 'd' });
  await assert.rejects(register(server.url, { user: 'dora', node: 'd' }), code('UserExists'));
  await assert.rejects(connect(server.url, { user: 'nobody', node: 'd' }), code('UserUnknown'));
  await assert.rejects(connect(server.url, { user: 'dora', node: 'wrong' }), code('NodeUnknown'));
  await assert.rejects(connect('http://h', { user: 'dora', node: 'd' }), code('Address'));
  await assert.rejects(connect('ws://', { user: 'dora', node: 'd' }), code('Address'));
  await assert.rejects(connect(server.url, {}), code('Argument'));
  await assert.rejects(connect('ws://127.0.0.1:1', { user: 'dora', node: 'd' }), code('Connect'));
  const other = createServer((_, response) => response.writeHead(404).end()).listen(0, '127.0.0.1');
  await new Promise((resolve) => other.on('listening', resolve));
  const url = `ws://127.0.0.1:${other.address().port}`;
  await assert.rejects(connect(url, { user: 'dora', node: 'd' }), code('Protocol'));
  other.close();
  const dora = await connect(server.url, { user: 'dora', node: 'd' });
  await assert.rejects(connect(server.url, { user: 'dora', node: 'd' }), code('NodeActive'));
  await dora.close();
});

test('a certificate that is not trusted is told apart, and one that is named is trusted', async () => {
  await register(server.url, { user: 'emma', node: 'e' });
  const options = { user: 'emma', node: 'e' };
  await assert.rejects(connect(server.tlsUrl, options), code('Untrusted'));
  await assert.rejects(connect(server.tlsUrl, { ...options, ca: 'no certificate' }), code('Untrusted'));
  await assert.rejects(connect(server.tlsUrl, { ...options, cert: 'no certificate' }), code('Tls'));
  const ca = readFileSync(join(server.store, 'tls/certificate.pem'), 'utf8');
  await assert.rejects(connect(server.tlsUrl.replace('localhost', '127.0.0.1'), { ...options, ca }), code('Untrusted'));
  const emma = await connect(server.tlsUrl, { ...options, ca });
  await emma.post('emma', 'in secret');
  assert.equal((await take(emma)).text, 'in secret');
  await emma.close();
});

test('a client whose node is taken over ends, and says so to the iterator and the listeners', async () => {
  const alice = await user();
  const told = new Promise((resolve) => alice.on('error', resolve));
  const next = assert.rejects(alice[Symbol.asyncIterator]().next(), code('TakenOver'));
  const second = await connect(server.url, { user: alice.user, node: `${alice.user}-1`, takeover: true });
  await inTime(next);
  assert.ok(code('TakenOver')(await inTime(told)));
  await assert.rejects(alice.post('x', ''), code('TakenOver'));
  await second.close();
});

test('a closed client ends its iterators, refuses posts, and may be closed twice', async () => {
  const alice = await user();
  const got = [];
  const loop = (async () => {
    for await (const message of alice) got.push(message.text), await message.ack();
  })();
  await alice.post(alice.user, 'x');
  await until(() => got.length === 1);
  await alice.close();
  await inTime(loop);
  await alice.close();
  await assert.rejects(alice.post(alice.user, 'y'), code('Closed'));
});

test('a post is given up at its deadline, and one that is too late is not sent', async () => {
  const own = await Server.start();
  await register(own.url, { user: 'u', node: 'n' });
  const client = await connect(own.url, { user: 'u', node: 'n', minPause: 10, maxPause: 50, maxUnacked: 2 });
  await assert.rejects(client.post('u', 'late', { deadline: -1 }), code('Deadline'));
  await assert.rejects(client.post('u', 'late', { deadline: new Date(NaN) }), code('Argument'));
  const offline = new Promise((resolve) => client.on('offline', resolve));
  await own.kill();
  await offline;
  const begun = Date.now();
  const error = await inTime(client.post('u', 'never', { deadline: new Date(begun + 300) }).catch((error) => error), 'the deadline', 10_000);
  assert.ok(code('Deadline')(error));
  assert.equal(error.maybeStored, false);
  assert.ok(Date.now() - begun >= 295);
  const kept = client.post('u', 'in time', { deadline: 20_000 });
  const second = client.post('u', 'in time, too');
  // There is no room for a third one, and its time passes nevertheless.
  const third = await inTime(client.post('u', 'no room', { deadline: 200 }).catch((error) => error), 'the deadline', 10_000);
  assert.equal(third.maybeStored, false);
  await own.start();
  await Promise.all([kept, second]);
  assert.equal((await take(client)).text, 'in time');
  assert.equal((await take(client)).text, 'in time, too');
  await client.close();
  await own.stop();
});

test('posts made while the server is gone arrive in their order when it is back, and nobody spins', async () => {
  const own = await Server.start();
  for (const name of ['a', 'b']) await register(own.url, { user: name, node: name });
  const [a, b] = await Promise.all(['a', 'b'].map((name) =>
    connect(own.url, { user: name, node: name, minPause: 50, maxPause: 200 })));
  const offline = [];
  a.on('offline', (why) => offline.push(why.code));
  await own.kill();
  await until(() => offline.length > 0);
  assert.equal(a.stats.online, false);
  const cpu = process.cpuUsage();
  const receipts = Array.from({ length: 50 }, (_, i) => a.post('b', String(i)));
  await sleep(1000);
  const { user, system } = process.cpuUsage(cpu);
  assert.ok(user + system < 500_000, `${user + system} µs`);
  assert.ok(offline.length < 20, `${offline.length} attempts in 1 s`);
  assert.ok(offline.slice(1).every((why) => why === 'Connect'), offline.join());
  await own.start();
  await inTime(Promise.all(receipts));
  for (let i = 0; i < 50; i++) assert.equal((await take(b)).text, String(i));
  assert.ok(a.stats.reconnects >= 1);
  await Promise.all([a.close(), b.close()]);
  await own.stop();
});

test('a server killed in the midst of posts has each of them once, in order', async () => {
  const own = await Server.start();
  for (const name of ['a', 'b']) await register(own.url, { user: name, node: name });
  const [a, b] = await Promise.all(['a', 'b'].map((name) =>
    connect(own.url, { user: name, node: name, minPause: 10, maxPause: 50 })));
  const receipts = [];
  for (let round = 0; round < 4; round++) {
    // Stopped, it acks nothing of what is sent; else some of it.
    if (round === 2) {
      await until(() => a.stats.online, 'the link');
      own.pause();
    }
    for (let i = 0; i < 250; i++) receipts.push(a.post('b', String(receipts.length)));
    await (round === 2 ? sleep(200) : receipts[round * 250]);
    await own.kill();
    await own.start();
  }
  await inTime(Promise.all(receipts));
  for (let i = 0; i < 1000; i++) assert.equal((await take(b)).text, String(i));
  await a.post('b', 'end');
  assert.equal((await take(b)).text, 'end');
  assert.ok(a.stats.resent > 100, `${a.stats.resent} were sent again`);
  await Promise.all([a.close(), b.close()]);
  await own.stop();
});

test('begun offline, a client posts when the server is there', async () => {
  const own = await Server.start();
  await register(own.url, { user: 'u', node: 'n' });
  await own.kill();
  const client = await connect(own.url, { user: 'u', node: 'n', beginOffline: true, minPause: 10, maxPause: 50 });
  const receipt = client.post('u', 'patience');
  await sleep(100);
  await own.start();
  await inTime(receipt);
  assert.equal((await take(client)).text, 'patience');
  await client.close();
  await own.stop();
});

test('a dropped message comes again, and one that is held does not', async () => {
  const alice = await user();
  await alice.post(alice.user, 'x');
  const next = () => alice[Symbol.asyncIterator]().next();
  const { value } = await next();
  value.release();
  const { value: again } = await inTime(next(), 'it again', 15_000);
  assert.deepEqual([again.id, again.redelivered], [value.id, 1]);
  await again.ack();
  await alice.close();
});

test('status and dropNode are answered, or refused by a server that knows them not; the client goes on', async () => {
  const alice = await user();
  const { offset } = await addNode(server.url, { user: alice.user, prev: `${alice.user}-1` });
  const known = await alice.status().catch((error) => error);
  if (known instanceof Error) {
    assert.ok(code('Rejected')(known));
    await assert.rejects(alice.dropNode(offset), code('Rejected'));
  } else {
    assert.deepEqual(known.nodes.map((node) => node.offset), [0, offset]);
    assert.equal(known.nodes[0].online, true);
    await alice.dropNode(offset);
    assert.deepEqual((await alice.status()).nodes.map((node) => node.offset), [0]);
  }
  await alice.post(alice.user, 'on');
  assert.equal((await take(alice)).text, 'on');
  await alice.close();
});

test('a server that is silent while it owes an ack is left, and the post goes to the next', async () => {
  // Lets everybody in, and acks nothing on the first link.
  const fake = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  let links = 0;
  const posts = [];
  fake.on('connection', (socket) => {
    const link = ++links;
    socket.on('message', (data) => {
      const { op, id } = JSON.parse(data.subarray(4));
      const say = (header) => socket.send(Buffer.from(JSON.stringify(header).length.toString(16).padEnd(4) + JSON.stringify(header)));
      if (op === 'login') say({ op: 'info', info: 'ok login', v: 2, window: 1 });
      else posts.push([link, id]), link > 1 && say({ op: 'ack', id, type: 'ok' });
    });
  });
  await new Promise((resolve) => fake.on('listening', resolve));
  const url = `ws://127.0.0.1:${fake.address().port}`;
  const client = await connect(url, { user: 'u', node: 'n', answerTimeout: 300, minPause: 10 });
  const offline = new Promise((resolve) => client.on('offline', resolve));
  await inTime(client.post('u', '', {}));
  assert.ok(code('Lost')(await offline));
  assert.deepEqual(posts, [[1, posts[0][1]], [2, posts[0][1]]]);
  await client.close();
  fake.close();
});

test('what a browser asks in place of a ping is answered by the server, and stores nothing', async () => {
  const alice = await user();
  await alice.close();
  // The browser's link, on a WebSocket that is like the browser's.
  globalThis.WebSocket ??= WebSocket;
  const answers = [];
  const open = new Promise((resolve, reject) => {
    const link = dial(server.url, {}, 0, {
      open: () => resolve(link), heard() {}, closed: reject,
      message: (bytes) => answers.push(Buffer.from(bytes).toString()),
    });
  });
  const link = await inTime(open);
  const login = JSON.stringify({ op: 'login', userId: alice.user, nodeId: `${alice.user}-1`, v: 2 });
  link.send(Buffer.from(login.length.toString(16).padEnd(4) + login));
  link.ping();
  link.ping();
  await until(() => answers.length === 3);
  for (const answer of answers.slice(1)) assert.match(answer, /"op":"ack","id":"ping","type":"error","error":"msg lacks recipients"/);
  link.close();
});

test('a client for which a message waits that it does not take ends, and leaves it to one that does', async () => {
  const alice = await user();
  await alice.post(alice.user, new Uint8Array(300_000));
  await alice.close();
  const options = { user: alice.user, node: `${alice.user}-1` };
  const small = await connect(server.url, { ...options, maxMessage: 1000 });
  await assert.rejects(inTime(small[Symbol.asyncIterator]().next()), code('TooLarge'));
  const large = await connect(server.url, { ...options, takeover: true });
  assert.equal((await take(large)).data.length, 300_000);
  await large.close();
});
