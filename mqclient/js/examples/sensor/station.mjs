// node station.mjs SERVER: shows the readings. Makes the sensor's user and node if there are none.

import { connect } from 'websocket-mq';
import { me } from '../me.mjs';

const [, , url] = process.argv;
await me(url, 'sensor');
const station = await connect(url, { ...await me(url, 'station'), minPause: 50 });
console.log('waiting for readings');
for await (const message of station) {
  const { at, celsius } = message.etc;
  console.log(`${message.from} at ${new Date(at).toISOString()}: ${celsius.toFixed(1)} °C`);
  await message.ack();
}
