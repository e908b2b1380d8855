// node terminal.mjs SERVER ME YOU: what you type goes to YOU, what comes from anybody is shown.

import { createInterface } from 'node:readline';
import { connect } from 'websocket-mq';
import { me } from '../me.mjs';

const [, , url, user, you] = process.argv;
const client = await connect(url, await me(url, user));
client.on('message', (message) => {
  console.log(`${message.from}: ${message.text}`);
  message.ack();
});
client.on('offline', ({ message }) => console.log(`(${message})`));
client.on('error', ({ message }) => (console.log(message), process.exit(1)));
console.log(`(you are ${user}; your lines go to ${you})`);

for await (const line of createInterface({ input: process.stdin })) {
  client.post(you, line).then(({ warnings }) => warnings.forEach((warning) => console.log(`(${warning})`)), ({ message }) => console.log(`(${message})`));
}
await client.close();
