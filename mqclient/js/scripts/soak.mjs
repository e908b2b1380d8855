// Posts by a client while the server is killed and started again: each is stored once, delivered and acked, in
// order. Exits with 1 if that is not so.
//
//   npm run soak -- --posts 10000 --kill-every 2 [--rate 500] [--size 200] [--outbox] [--kills N]
//
// --kill-every is in seconds; --rate in posts a second, 0 for as many as there is room for; --kills: so many,
// spread over the run; --outbox has poster and receiver keep theirs in files.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { connect, register } from '../dist/esm/node.js';
import { folder, inTime, Server, sleep } from '../test/server.mjs';

const { values } = parseArgs({
  options: {
    posts: { type: 'string', default: '10000' },
    'kill-every': { type: 'string', default: '2' },
    kills: { type: 'string', default: 'Infinity' },
    rate: { type: 'string', default: '500' },
    size: { type: 'string', default: '200' },
    outbox: { type: 'boolean', default: false },
  },
});
const posts = Number(values.posts);
const every = Number(values['kill-every']) * 1000;
const mostKills = Number(values.kills);
const rate = Number(values.rate);
const padding = 'x'.repeat(Number(values.size));
assert.ok(posts > 0 && every > 0, 'numbers above 0');

const server = await Server.start();
for (const user of ['poster', 'receiver']) await register(server.url, { user, node: user });
const files = folder();
const login = (user) => connect(server.url, {
  user, node: user, minPause: 20, maxPause: 200, ...(values.outbox && { outbox: join(files, user) }),
});
const [poster, receiver] = await Promise.all([login('poster'), login('receiver')]);

const begun = Date.now();
const broken = [];
let kills = 0;
let acked = 0;
let received = 0;
let done = false;
const ids = new Set();

/** Kills the server, in the midst of things, and starts it again. */
async function killing() {
  while (!done && kills < mostKills) {
    // Spread over the run, if only so many kills are wanted: now by what is posted, now by what came.
    const through = () => (kills % 2 ? received : acked);
    if (mostKills < Infinity) while (!done && through() < (posts * (kills + 1)) / (mostKills + 2)) await sleep(0);
    else await sleep(every);
    if (done) break;
    await server.kill();
    kills++;
    await server.start();
  }
}

/** All of them at their rate; with none, at once, as far as the client has room. */
async function posting() {
  let previous = '';
  await Promise.all(Array.from({ length: posts }, async (_, number) => {
    if (rate) await sleep((number * 1000) / rate);
    const receipt = await poster.post('receiver', `${number} ${padding}`);
    acked++;
    if (Object.keys(receipt.failed).length) broken.push(`post ${number} failed: ${JSON.stringify(receipt.failed)}`);
    // A post stored twice would have two ids; ids grow as posts are stored.
    if (!(receipt.msgid > previous)) broken.push(`post ${number} was stored as ${receipt.msgid}, behind ${previous}`);
    previous = receipt.msgid;
    ids.add(receipt.msgid);
  }));
  // Behind all of them, to see that nothing comes after the last.
  ids.add((await poster.post('receiver', 'end')).msgid);
}

async function receiving() {
  for await (const message of receiver) {
    const { text, id } = message;
    if (text === 'end') {
      await message.ack();
      return;
    }
    const number = Number(text.split(' ')[0]);
    if (number !== received) broken.push(`${number} came when ${received} was due`);
    if (text !== `${number} ${padding}`) broken.push(`${number} is corrupted`);
    received = number + 1;
    await message.ack();
  }
}

const limit = 60_000 + posts * 20;
const both = Promise.all([posting(), receiving()]).finally(() => (done = true));
await inTime(Promise.all([both, killing()]), `all of ${posts} posts; ${acked} acked, ${received} received`, limit)
  .catch((error) => broken.push(error.message));
const ms = Date.now() - begun;
if (received !== posts) broken.push(`${received} of ${posts} came`);
if (ids.size !== posts + 1) broken.push(`${ids.size} ids for ${posts + 1} posts`);
const { reconnects, resent } = poster.stats;
const { redelivered } = receiver.stats;
await Promise.all([poster.close(), receiver.close()]);

// All acks were heard: nothing waits any more.
let queued;
for (let tries = 50; tries && queued !== 0; tries--) {
  const again = await connect(server.url, { user: 'receiver', node: 'receiver', takeover: true });
  ({ queued } = again.login);
  await again.close();
  await sleep(50);
}
if (queued !== 0) broken.push(`${queued} wait that were acked`);
await server.stop();

console.log(`${posts} posts in ${(ms / 1000).toFixed(1)} s, ${kills} kills: ${acked} acked, ${received} received in order; `
  + `${reconnects} reconnects, ${resent} sent again, ${redelivered} delivered again and not shown`);
if (!(kills > 0)) broken.push('the server was not killed: more posts, or more often');
for (const what of broken.slice(0, 20)) console.error(`BROKEN: ${what}`);
process.exit(broken.length ? 1 : 0);
