// The outbox in a file: over restarts of the program, torn and damaged files, and full disks.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect, FileStore, MemoryStore, MqError, register } from '../dist/esm/node.js';
import { folder, inTime, Server, sleep, until } from './server.mjs';

let server;
before(async () => (server = await Server.start()));
after(() => server.stop());

let count = 0;
async function pair() {
  const [a, b] = [`a${++count}`, `b${count}`];
  for (const name of [a, b]) await register(server.url, { user: name, node: name });
  return [a, b];
}
const login = (user, outbox, more = {}) =>
  connect(server.url, { user, node: user, outbox, minPause: 10, maxPause: 50, ...more });

async function take(client) {
  const { value } = await inTime(client[Symbol.asyncIterator]().next(), 'a message');
  await value.ack();
  return value.text;
}

const code = (expected) => (error) => error instanceof MqError && error.code === expected
  || assert.fail(`${expected} expected, not ${error.name}: ${error.message}`);
const path = () => join(folder(), 'outbox');

test('posts that a killed program left are sent by the next one, once, in order, before new ones', async () => {
  const [a, b] = await pair();
  const outbox = path();
  const child = spawn(process.execPath, [fileURLToPath(new URL('poster.mjs', import.meta.url)), outbox, a, b],
    { stdio: ['ignore', 'pipe', 'inherit'] });
  // It posts to a server that is not there, says when 20 posts are kept, and is killed.
  await inTime(new Promise((resolve) => child.stdout.once('data', resolve)), 'the posts');
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('exit', resolve));

  const bob = await login(b);
  const alice = await login(a, outbox);
  const settled = [];
  alice.on('settled', (id, receipt) => settled.push([id, receipt]));
  await alice.post(b, 'new');
  for (let i = 0; i < 20; i++) assert.equal(await take(bob), String(i));
  assert.equal(await take(bob), 'new');
  await until(() => settled.length === 20);
  assert.ok(settled.every(([, receipt]) => receipt.msgid && !receipt.dup));
  await alice.close();

  // They are in there no more.
  const next = await login(a, outbox);
  assert.equal(next.stats.unacked, 0);
  await Promise.all([next.close(), bob.close()]);
});

test('a post that was stored, but whose ack was not heard, is stored once', async () => {
  const [a, b] = await pair();
  const store = new MemoryStore();
  const alice = await login(a, store);
  // The ack is on its way to the store when the program ends.
  const write = store.write.bind(store);
  store.write = async (changes) => write(changes.filter((change) => change.type !== 'discard'));
  const receipt = await alice.post(b, 'once');
  await alice.close();

  const again = await login(a, store);
  const [, second] = await inTime(new Promise((resolve) => again.on('settled', (...all) => resolve(all))));
  assert.deepEqual([second.msgid, second.dup], [receipt.msgid, true]);
  const bob = await login(b);
  await again.post(b, 'end');
  assert.equal(await take(bob), 'once');
  assert.equal(await take(bob), 'end');
  await Promise.all([again.close(), bob.close()]);
});

test('what was acked is not shown again after a restart, though the server had not heard of it', async () => {
  const [a, b] = await pair();
  const outbox = path();
  const alice = await login(a);
  let bob = await login(b, outbox, { beginOffline: true });
  await alice.post(b, 'one');
  const { value } = await inTime(bob[Symbol.asyncIterator]().next());
  // The link goes before the ack; the server that is killed has the message still.
  const offline = new Promise((resolve) => bob.on('offline', resolve));
  await server.kill();
  await offline;
  await value.ack();
  await bob.close();

  await server.start();
  bob = await login(b, outbox);
  await alice.post(b, 'two');
  assert.equal(await take(bob), 'two');
  assert.equal(bob.stats.redelivered, 1);
  await bob.close();
  // And the server has heard of it now.
  bob = await login(b);
  await alice.post(b, 'three');
  assert.equal(await take(bob), 'three');
  await Promise.all([alice.close(), bob.close()]);
});

test('a deadline holds over a restart', async () => {
  const [a, b] = await pair();
  const outbox = path();
  const url = 'ws://127.0.0.1:1';
  const alice = await connect(url, { user: a, node: a, outbox, beginOffline: true });
  await alice.startPost(b, 'late', { deadline: 100 });
  await alice.startPost(b, 'in time', { deadline: 60_000 });
  await alice.close();
  await sleep(150);
  const again = await login(a, outbox);
  await again.post(b, 'new');
  // What happened before anybody listened is told, too.
  const settled = [];
  again.on('settled', (_, result) => settled.push(result));
  await until(() => settled.length === 2);
  assert.ok(code('Deadline')(settled[0]));
  const bob = await login(b);
  assert.equal(await take(bob), 'in time');
  assert.equal(await take(bob), 'new');
  await Promise.all([again.close(), bob.close()]);
});

test('an outbox is used by one client at a time, and by one node', async () => {
  const [a, b] = await pair();
  const outbox = path();
  const alice = await login(a, outbox);
  await assert.rejects(login(a, outbox), code('Disk'));
  await alice.close();
  await assert.rejects(login(b, outbox), code('Disk'));
  // Of a process that is gone, a lock counts no more.
  writeFileSync(`${outbox}.lock`, '999999999');
  await (await login(a, outbox)).close();
  assert.ok(!existsSync(`${outbox}.lock`));
  await assert.rejects(login(a, '/no/such/folder/outbox'), code('Disk'));
});

const owner = 'test';
const keep = (id, text) => ({ type: 'keep', post: { id, message: Buffer.from(text) } });
async function found(outbox) {
  const store = new FileStore(outbox);
  const { posts, acked, lastId } = await store.open(owner);
  await store.close();
  return { posts: posts.map(({ id, message }) => [id, Buffer.from(message).toString()]), acked, lastId };
}

test('a file that was cut anywhere keeps all that was whole before the cut', async () => {
  const outbox = path();
  const store = new FileStore(outbox);
  await store.open(owner);
  const sizes = [];
  for (let id = 1; id <= 4; id++) {
    await store.write([keep(id, `post ${id}`)]);
    sizes.push(statSync(outbox).size);
  }
  await store.close();
  const whole = readFileSync(outbox);
  for (let size = sizes[0]; size <= whole.length; size++) {
    const copy = path();
    writeFileSync(copy, whole.subarray(0, size));
    const { posts } = await found(copy);
    assert.equal(posts.length, sizes.filter((end) => end <= size).length, `cut at ${size}`);
  }
});

test('of a file that is damaged in the middle, the rest is read and a copy is kept', async () => {
  const outbox = path();
  const store = new FileStore(outbox);
  await store.open(owner);
  for (let id = 1; id <= 3; id++) await store.write([keep(id, `post ${id}`)]);
  await store.close();
  const bytes = readFileSync(outbox);
  bytes[bytes.indexOf('post 2') + 2] ^= 1;
  writeFileSync(outbox, bytes);
  assert.deepEqual((await found(outbox)).posts, [[1, 'post 1'], [3, 'post 3']]);
  const copies = readdirSync(join(outbox, '..')).filter((name) => name.startsWith('outbox.damaged'));
  assert.equal(copies.length, 1);
});

test('a file is written anew when most of it is over, and ids are never used again', async () => {
  const outbox = path();
  const store = new FileStore(outbox);
  await store.open(owner);
  const text = 'x'.repeat(100_000);
  for (let id = 1; id <= 60; id++) {
    await store.write([keep(id, text)]);
    if (id > 2) await store.write([{ type: 'discard', id }, { type: 'remember', id: `m${id}` }]);
  }
  await store.close();
  assert.ok(statSync(outbox).size < 3_000_000, `${statSync(outbox).size}`);
  const { posts, acked, lastId } = await found(outbox);
  assert.deepEqual(posts.map(([id]) => id), [1, 2]);
  assert.equal(acked.length, 58);
  assert.equal(lastId, 60);
  assert.equal((await found(outbox)).lastId, 60);
});

test('a full disk refuses the post, loses nothing, and takes the next when there is room', { skip: process.platform !== 'linux' }, async () => {
  const [a, b] = await pair();
  // A limit of the process on the size of files stands for a disk that is full: write() fails.
  const outbox = path();
  const child = spawn('bash', ['-c', 'ulimit -f 300; trap "" XFSZ; exec "$@"', 'bash', process.execPath,
    fileURLToPath(new URL('full-disk.mjs', import.meta.url)), server.url, outbox, a, b],
  { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (data) => (output += data));
  const exit = await inTime(new Promise((resolve) => child.once('exit', resolve)), 'the program');
  assert.equal(exit, 0, output);
  const result = JSON.parse(output);
  assert.deepEqual(result.codes, ['ok', 'Disk', 'ok']);
  const bob = await login(b);
  assert.equal((await take(bob)).length, 1000);
  assert.equal(await take(bob), 'small again');
  await bob.close();
});

test('what cannot be remembered is acked all the same, the ack says so, and no other ack fails with it', async () => {
  const [a] = await pair();
  const store = new MemoryStore();
  const alice = await login(a, store);
  await alice.post(a, 'bad');
  await alice.post(a, 'good');
  const next = async () => (await inTime(alice[Symbol.asyncIterator]().next(), 'a message')).value;
  const [bad, good] = [await next(), await next()];
  const write = store.write.bind(store);
  store.write = async (changes) => {
    if (changes.some((change) => change.id === bad.id)) throw new MqError('Disk', 'full');
    return write(changes);
  };
  const [first, second] = await Promise.allSettled([bad.ack(), good.ack()]);
  assert.ok(code('Disk')(first.reason));
  assert.equal(second.status, 'fulfilled');
  await alice.close();
  const again = await login(a);
  await again.post(a, 'new');
  assert.equal(await take(again), 'new');
  await again.close();
});

test('what an outbox cannot take is refused, and what it has is kept when the server refuses for good', async () => {
  const [a, b] = await pair();
  const outbox = path();
  const alice = await connect('ws://127.0.0.1:1', { user: a, node: a, outbox, beginOffline: true });
  const posting = await alice.startPost(b, 'kept');
  await alice.close();
  await assert.rejects(posting.receipt, code('Closed'));
  // It cannot be sent as another user, and is there when it is the right one again.
  await assert.rejects(connect(server.url, { user: a, node: 'wrong', outbox }), code('Disk'));
  const again = await login(a, outbox);
  const bob = await login(b);
  assert.equal(await take(bob), 'kept');
  await Promise.all([again.close(), bob.close()]);
});
