// node sensor.mjs SERVER: a reading a second, for `station`, whether there is a network or not.

import { readFileSync } from 'node:fs';
import { connect } from 'websocket-mq';

const [, , url, interval = '1000'] = process.argv;
// Its node was made where there is a network: see station.mjs.
const node = readFileSync('sensor.node', 'utf8');
const sensor = await connect(url, { user: 'sensor', node, outbox: 'sensor.outbox', beginOffline: true, maxPause: 1000, maxUnacked: 100_000 });
sensor.on('online', () => console.log('online'));
sensor.on('offline', () => console.log('offline'));
sensor.on('error', ({ message }) => (console.error(message), process.exit(1)));

for (;;) {
  // Kept in the file before this goes on. After a day nobody wants it any more.
  const { id } = await sensor.startPost('station', '', { etc: { at: Date.now(), celsius: 20 + Math.random() }, deadline: 86_400_000 });
  console.log(`kept ${id}`);
  await new Promise((resolve) => setTimeout(resolve, Number(interval)));
}
