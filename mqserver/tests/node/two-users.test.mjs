// Two users: an alias, a list, text frames, a large message.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { before, test } from "node:test";
import { Client } from "./client.mjs";

before(async () => {
  await Client.register("bert", "bertie");
  await Client.register("cleo", "cleopatra");
});

async function both() {
  return [await Client.login("bert"), await Client.login("cleo")];
}

test("a ping finds the owner of an alias", async () => {
  const [bert, cleo] = await both();
  bert.send({ op: "ping", id: "p1", alias: "cleopatra" }, { is: "a ping" }, "hey");
  const ack = await bert.reply();
  assert.deepEqual([ack.op, ack.id, ack.type, ack.error], ["ack", "p1", "ok", null]);
  const ping = await cleo.take();
  assert.equal(ping.from, "bert");
  assert.deepEqual(ping.etc, { is: "a ping" });
  assert.equal(ping.data.toString(), "hey");

  bert.send({ op: "ping", id: "p2", alias: "nobody" });
  const refused = await bert.reply();
  assert.deepEqual([refused.id, refused.type], ["p2", "error"]);
  assert.equal(refused.error, "alias not defined");
  await Promise.all([bert.close(), cleo.close()]);
});

test("a post to a list reaches its members, told before who is in it", async () => {
  const [bert, cleo] = await both();
  bert.send({ op: "listEdit", id: "l1", to: "friends", type: "add", member: "cleo" });
  const ack = await bert.reply();
  assert.deepEqual([ack.id, ack.type], ["l1", "ok"]);
  for (const client of [bert, cleo]) {
    const edited = await client.take();
    assert.equal(edited.op, "listEdited");
    assert.equal(edited.from, "bert");
    const { list, op, uid, date } = edited.etc;
    assert.deepEqual({ list, op, uid }, { list: "friends", op: "add", uid: "cleo" });
    assert.match(date, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  }
  await cleo.post({ friends: 2 }, undefined, "without me");
  assert.equal((await bert.take()).data.toString(), "without me");
  await cleo.post({ friends: 3 }, undefined, "with me");
  assert.equal((await cleo.take()).data.toString(), "with me");
  assert.equal((await bert.take()).data.toString(), "with me");
  await Promise.all([bert.close(), cleo.close()]);
});

test("a message in a text frame is as good, and delivered in a binary one", async () => {
  const [bert, cleo] = await both();
  bert.sendText({ op: "post", id: "t1", to: { cleo: 1 } }, { text: "größer" }, "für dich");
  assert.equal((await bert.reply()).type, "ok");
  const delivery = await cleo.take();
  assert.deepEqual(delivery.etc, { text: "größer" });
  assert.equal(delivery.data.toString(), "für dich");
  await Promise.all([bert.close(), cleo.close()]);
});

test("a message of 1 MiB arrives as it was sent, between small ones", async () => {
  const [bert, cleo] = await both();
  const large = randomBytes(1 << 20);
  for (const data of ["before", large, "behind"]) {
    assert.equal((await bert.post({ cleo: 1 }, { size: data.length }, data)).type, "ok");
  }
  assert.equal((await cleo.take()).data.toString(), "before");
  const delivery = await cleo.take();
  assert.deepEqual(delivery.etc, { size: 1 << 20 });
  assert.ok(large.equals(delivery.data));
  assert.equal((await cleo.take()).data.toString(), "behind");
  await Promise.all([bert.close(), cleo.close()]);
});
