// The original's style: callbacks and events, in version 1.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect } from '../dist/esm/classic-node.js';
import { inTime, Server } from './server.mjs';

let server;
before(async () => (server = await Server.start()));
after(() => server.stop());

/** Calls `request` with a callback behind its arguments, and resolves to the answer. */
const asked = (client, request, ...args) => inTime(new Promise((resolve, reject) =>
  client[request](...args, (error, answer) => (error ? reject(error) : resolve(answer)))), request);
const heard = (client, event) => inTime(new Promise((resolve) => client.on(event, resolve)), event);

test('a program of 2011 registers, logs in, posts, pings, edits a list, and acks', async () => {
  const order = [];
  const anna = connect(server.url);
  anna.on('registered', ({ etc }) => order.push(['registered', etc]));
  anna.on('added', ({ offset }) => order.push(['added', offset]));
  anna.on('info', ({ info }) => order.push(['info', info]));
  // Before the connection stands, too.
  anna.register('anna', 'laptop', 'a1 a2');
  anna.addNode('anna', 'phone', 'laptop');
  const { info } = await asked(anna, 'login', 'anna', 'laptop');
  assert.equal(info, 'ok login');
  assert.deepEqual(order, [['registered', 'a1 a2'], ['added', 1], ['info', 'ok login']]);

  const bert = connect(server.url);
  await asked(bert, 'register', 'bert', 'b', '');
  await asked(bert, 'login', 'bert', 'b');
  const delivered = heard(bert, 'deliver');
  const ack = await asked(anna, 'post', { bert: 1, zoe: 1 }, 'hello', { n: 1 });
  assert.deepEqual([ack.type, ack.error], ['ok', 'userId unknown']);
  const { id, from, etc, text } = await delivered;
  assert.deepEqual([from, etc, text], ['anna', { n: 1 }, 'hello']);
  bert.ack(id);

  const ping = heard(anna, 'deliver');
  await asked(bert, 'ping', 'a2', 'hey');
  const { id: pinged, text: hey } = await ping;
  assert.equal(hey, 'hey');
  anna.ack(pinged);

  const edited = heard(anna, 'listEdited');
  await asked(anna, 'listEdit', 'friends', 'add', 'bert');
  const notice = await edited;
  assert.deepEqual([notice.etc.list, notice.etc.uid], ['friends', 'bert']);
  anna.ack(notice.id);

  // New aliases come as a message that is acked.
  const registered = asked(anna, 'register', 'anna', '', 'a3');
  const { id: aliases, etc: names } = await registered;
  assert.equal(names, 'a3');
  anna.ack(aliases);
  anna.close();
  bert.close();
  assert.equal((await heard(anna, 'close')).code, 'Lost');
});

test('what is refused comes to the callback, and a quit to all that wait', async () => {
  const anna = connect(server.url);
  await asked(anna, 'register', 'otto', 'o', '');
  await assert.rejects(asked(anna, 'register', 'otto', 'o', ''), { code: 'Rejected' });
  await assert.rejects(asked(anna, 'addNode', 'otto', 'p', 'wrong'), { code: 'Rejected' });
  await asked(anna, 'login', 'otto', 'o');
  await assert.rejects(asked(anna, 'ping', 'nobody', ''), { code: 'Rejected' });

  const stranger = connect(server.url);
  const quit = heard(stranger, 'quit');
  await assert.rejects(asked(stranger, 'login', 'otto', 'wrong'), { code: 'NodeUnknown' });
  assert.equal((await quit).info, 'nodeId unknown');
  await assert.rejects(asked(stranger, 'post', { otto: 1 }, ''), { code: 'NodeUnknown' });
  await assert.rejects(asked(connect('ws://127.0.0.1:1'), 'login', 'otto', 'o'), { code: 'Connect' });
  anna.close();
});
