// Version 2: a window of deliveries, acked many at once.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Client } from "./client.mjs";

const clients = [];

// One that a failed test leaves open would keep Node from its end.
after(() => Promise.all(clients.map((client) => client.close())));

async function connect() {
  const client = await Client.connect();
  clients.push(client);
  return client;
}

/** A connection of the user's node in version 2, and the server's answer. */
async function login(userId, window) {
  for (;;) {
    const client = await connect();
    client.send({ op: "login", userId, nodeId: "phone", v: 2, window });
    const answer = await client.reply();
    if (answer.info === "node already active") {
      // The server learns of the end of an earlier connection when it does.
      await client.closed();
      continue;
    }
    assert.deepEqual([answer.op, answer.info, answer.v], ["info", "ok login", 2]);
    return { client, answer };
  }
}

async function take(client, count) {
  const taken = [];
  while (taken.length < count) taken.push(await client.delivery());
  return taken;
}

/** Posts, and waits for the acks only then. */
async function burst(client, userId, count) {
  const ids = [];
  for (let number = 0; number < count; number++) {
    client.send({ op: "post", id: `b${number}`, to: { [userId]: 1 } }, { number }, `data ${number}`);
  }
  for (let number = 0; number < count; number++) {
    const ack = await client.reply();
    assert.deepEqual([ack.op, ack.id, ack.type, ack.error], ["ack", `b${number}`, "ok", undefined]);
    ids.push(ack.msgid);
  }
  return ids;
}

test("a burst of 1,000 messages arrives in order with 10 acks", async () => {
  await Client.register("dora");
  await Client.register("emil");
  const { client: emil, answer } = await login("emil", 100);
  assert.deepEqual([answer.window, answer.queued, answer.node], [100, 0, 0]);
  assert.equal(answer.maxMessage, 16 * 1024 * 1024);
  assert.match(answer.server, /^websocket\.MQ /);
  const { client: dora } = await login("dora");
  const posting = burst(dora, "emil", 1000);
  const ids = [];
  for (let round = 0; round < 10; round++) {
    const taken = await take(emil, 100);
    taken.forEach((delivery, place) => {
      const number = round * 100 + place;
      assert.deepEqual([delivery.etc, delivery.data.toString()], [{ number }, `data ${number}`]);
      assert.equal(new Date(delivery.posted).toISOString(), delivery.posted);
      assert.equal(delivery.redelivered, undefined);
      ids.push(delivery.id);
    });
    emil.send({ op: "ack", ids: taken.map(({ id }) => id) });
  }
  assert.deepEqual(await posting, ids);
  // Behind the acks, as the server reads in order.
  await emil.post({ nobody: 1 });
  await Promise.all([dora.close(), emil.close()]);
  const { client: again, answer: after } = await login("emil", 100);
  assert.equal(after.queued, 0);
  await again.close();
});

test("an ack in the middle of a window makes room, and what has none comes again", async () => {
  await Client.register("fritz");
  let { client } = await login("fritz", 3);
  await burst(client, "fritz", 5);
  const taken = await take(client, 3);
  client.send({ op: "ack", id: taken[1].id });
  const [next] = await take(client, 1);
  assert.deepEqual(next.etc, { number: 3 });
  await client.post({ nobody: 1 });
  await client.close();

  let answer;
  ({ client, answer } = await login("fritz", 10));
  assert.equal(answer.queued, 4);
  const rest = await take(client, 4);
  assert.deepEqual(rest.map(({ etc }) => etc.number), [0, 2, 3, 4]);
  client.send({ op: "ack", ids: rest.map(({ id }) => id).reverse() });
  await client.close();
});

test("a window of 0 and acks that are no array are refused", async () => {
  await Client.register("gerda");
  const refused = await connect();
  refused.send({ op: "login", userId: "gerda", nodeId: "phone", v: 2, window: 0 });
  assert.equal((await refused.reply()).info, "login request missing param window");
  await refused.closed();
  const { client } = await login("gerda", 1);
  client.send({ op: "ack", ids: "all" });
  assert.equal((await client.reply()).info, "ack request missing param ids");
  assert.equal(await client.closed(), 1000);
});
