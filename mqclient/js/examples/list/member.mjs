// node member.mjs SERVER USER: a member of the mailing list `friends`, or one to be. USER's alias is USER@home.
//   /invite ALIAS   invites, and makes the list if there is none
//   /accept         accepts the invitation that came
//   /leave          leaves
//   any other line  goes to the members

import { createInterface } from 'node:readline';
import { connect } from 'websocket-mq';
import { me } from '../me.mjs';

const LIST = 'friends';
const [, , url, user] = process.argv;
const client = await connect(url, await me(url, user, { aliases: [`${user}@home`] }));
client.on('error', ({ message }) => (console.log(message), process.exit(1)));
client.on('message', (message) => {
  const { kind, from, etc, text } = message;
  if (kind === 'listEdited') console.log(`(${from}: ${etc.op} ${etc.uid ?? etc.alias} on ${etc.list})`);
  else if (etc?.invitation) console.log(`(${from} invites you to ${etc.invitation}: ${text})`);
  else console.log(`${from}: ${text}`);
  message.ack();
});
console.log(`(you are ${user})`);

const commands = {
  '/invite': (alias) => client.listEdit(LIST, 'invite', alias, 'join us', { etc: { invitation: LIST } }),
  '/accept': () => client.listEdit(LIST, 'add', user),
  '/leave': () => client.listEdit(LIST, 'remove', user),
};
for await (const line of createInterface({ input: process.stdin })) {
  const [word, ...rest] = line.split(' ');
  const asked = commands[word] ? commands[word](...rest) : client.post([`@${LIST}`], line);
  asked.then(({ warnings }) => warnings.forEach((warning) => console.log(`(${warning})`)), ({ message }) => console.log(`(${message})`));
}
await client.close();
