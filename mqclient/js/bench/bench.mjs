// How fast one JavaScript client is, beside npm's mqtt with QoS 1 against Mosquitto, in the same run.
//
//   npm run bench -- [--posts 20000] [--size 1000] [--rounds 3]
//
// Each round posts to a receiver that is offline, then has the receiver take and ack all that waits, then has one
// client post to itself and ack. The Rust client does the same if `cargo build --release -p mqclient --example throughput`
// was run in the project's folder. What is printed is the median of the rounds. Needs mosquitto (apt-get install
// mosquitto). Our acks say that a post is synced to the disk; Mosquitto's say that it is in memory, also with
// persistence, which it writes now and then: compare the client's cost, not what is promised.

import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { connect, register } from '../dist/esm/node.js';
import { folder, Server, sleep } from '../test/server.mjs';

const { values } = parseArgs({
  options: {
    posts: { type: 'string', default: '20000' },
    size: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '3' },
  },
});
const [posts, size, rounds] = [values.posts, values.size, values.rounds].map(Number);
const body = Buffer.alloc(size, 'x');
/** How many posts and deliveries may be on their way, in both. */
const IN_FLIGHT = 1000;

const here = fileURLToPath(new URL('.', import.meta.url));
if (!existsSync(join(here, 'node_modules/mqtt'))) {
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: here, stdio: 'inherit' });
}
const { default: mqtt } = await import('mqtt');

/** Calls `post` for each post, with so many under way, and gives posts a second. */
async function perSecond(post) {
  const begun = performance.now();
  let next = 0;
  await Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
    while (next++ < posts) await post();
  }));
  return (posts * 1000) / (performance.now() - begun);
}

/** Resolves to deliveries a second once `count()` was called for all of them. */
function counting() {
  let [begun, left] = [0, posts];
  let all;
  const rate = new Promise((resolve) => (all = resolve));
  const count = () => {
    begun ||= performance.now();
    if (--left === 0) all((posts * 1000) / (performance.now() - begun));
  };
  return { rate, count };
}

async function ours() {
  const server = await Server.start();
  for (const user of ['poster', 'receiver']) await register(server.url, { user, node: user });
  const login = (user) => connect(server.url, { user, node: user, window: IN_FLIGHT, maxUnacked: IN_FLIGHT });
  const poster = await login('poster');
  const posted = await perSecond(() => poster.post('receiver', body));
  const take = async (client, { rate, count }) => {
    client.on('message', (message) => (message.ack(), count()));
    return rate;
  };
  const receiver = await login('receiver');
  const delivered = await take(receiver, counting());
  const self = counting();
  take(poster, self);
  const both = perSecond(() => poster.post('poster', body));
  await Promise.all([both, self.rate]);
  await Promise.all([poster.close(), receiver.close()]);
  await server.stop();
  return [posted, delivered, await both];
}

/** The program of the Rust client, if it was built. */
const rust = join(here, '../../../target/release/examples/throughput');

async function rusts() {
  const server = await Server.start();
  const { stdout } = await promisify(execFile)(rust, [server.url, String(posts), String(size)]);
  await server.stop();
  return JSON.parse(stdout);
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function theirs() {
  const [store, port] = [folder(), await freePort()];
  writeFileSync(join(store, 'mosquitto.conf'), [
    `listener ${port} 127.0.0.1`, 'allow_anonymous true', 'user root', 'persistence true', `persistence_location ${store}/`,
    'max_queued_messages 0', `max_inflight_messages ${IN_FLIGHT}`, 'set_tcp_nodelay true', '',
  ].join('\n'));
  const broker = spawn(process.env.MOSQUITTO ?? 'mosquitto', ['-c', join(store, 'mosquitto.conf')], { stdio: 'ignore' });
  broker.on('error', () => {});
  process.on('exit', () => broker.kill('SIGKILL'));
  await sleep(500);
  if (!broker.pid || broker.exitCode !== null) throw new Error('no mosquitto: apt-get install mosquitto, or set MOSQUITTO');
  const login = async (clientId) => {
    const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
      protocolVersion: 5, clientId, clean: false, properties: { sessionExpiryInterval: 3600, receiveMaximum: IN_FLIGHT },
    });
    const inbox = counting();
    // Before the connection: what waits comes at once.
    client.on('message', inbox.count);
    await once(client, 'connect');
    return { client, inbox };
  };
  const first = await login('receiver');
  await first.client.subscribeAsync('receiver', { qos: 1 });
  await first.client.endAsync();
  const { client: poster, inbox: self } = await login('poster');
  const posted = await perSecond(() => poster.publishAsync('receiver', body, { qos: 1 }));
  const receiver = await login('receiver');
  const delivered = await receiver.inbox.rate;
  await poster.subscribeAsync('poster', { qos: 1 });
  const both = perSecond(() => poster.publishAsync('poster', body, { qos: 1 }));
  await Promise.all([both, self.rate]);
  await Promise.all([poster.endAsync(), receiver.client.endAsync()]);
  broker.kill('SIGKILL');
  await once(broker, 'exit');
  return [posted, delivered, await both];
}

const clients = { 'websocket-mq': ours, ...(existsSync(rust) && { 'mqclient (Rust)': rusts }), 'mqtt, QoS 1': theirs };
const results = Object.fromEntries(Object.keys(clients).map((name) => [name, []]));
for (let round = 0; round < rounds; round++) {
  for (const [name, measure] of Object.entries(clients)) results[name].push(await measure());
}
const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];
console.log(`${posts} posts of ${size} bytes, ${IN_FLIGHT} in flight, median of ${rounds} rounds, per second:`);
console.log('| client | posts acked | deliveries acked | posts to oneself, acked both ways |');
console.log('| --- | ---: | ---: | ---: |');
for (const [name, all] of Object.entries(results)) {
  const cells = [0, 1, 2].map((i) => Math.round(median(all.map((round) => round[i]))).toLocaleString('en'));
  console.log(`| ${name} | ${cells.join(' | ')} |`);
}
process.exit(0);
