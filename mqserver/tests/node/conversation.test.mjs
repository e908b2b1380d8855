// A first conversation: register, log in, post, receive, ack.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "./client.mjs";

test("a client registers, logs in, posts, receives, acks, and gets the next", async () => {
  const registered = await Client.register("anna", "a1 a2");
  assert.equal(registered.op, "registered");
  assert.equal(registered.error, undefined);
  assert.equal(registered.etc, "a1 a2");

  const anna = await Client.login("anna");
  const data = Buffer.from([0, 255, 10, 128]);
  const ack = await anna.post({ anna: 1 }, { subject: "hello ✓", n: 1 }, data);
  assert.equal(ack.type, "ok");
  assert.equal(ack.error, undefined);
  await anna.post({ anna: 1 }, undefined, "second");

  const first = await anna.delivery();
  assert.equal(first.op, "deliver");
  assert.equal(first.from, "anna");
  assert.deepEqual(first.etc, { subject: "hello ✓", n: 1 });
  assert.deepEqual(first.data, data);
  // The second waits for the ack of the first.
  await anna.post({ nobody: 1 }, undefined, "").then((ack) => {
    assert.equal(ack.error, "userId unknown");
  });
  anna.send({ op: "ack", id: first.id, type: "ok" });
  const second = await anna.take();
  assert.notEqual(second.id, first.id);
  assert.equal(second.etc, undefined);
  assert.equal(second.data.toString(), "second");
  assert.equal(await anna.close(), 1000);
});

test("what was not acked comes again after a reconnect, the same bytes", async () => {
  await Client.register("otto");
  let otto = await Client.login("otto");
  await otto.post({ otto: 1 }, ["etc"], "keep");
  await otto.post({ otto: 1 }, undefined, "next");
  const before = await otto.delivery();
  await otto.close();

  otto = await Client.login("otto");
  const again = await otto.take();
  assert.deepEqual(again, before);
  assert.equal((await otto.take()).data.toString(), "next");
  // Behind the acks, as the server reads in order.
  await otto.post({ otto: 1 }, undefined, "last");
  await otto.close();

  otto = await Client.login("otto");
  assert.equal((await otto.take()).data.toString(), "last");
  await otto.close();
});

test("what is no request is answered by a quit, and the connection closed", async () => {
  const client = await Client.connect();
  client.send({ op: "dance" });
  const quit = await client.reply();
  assert.deepEqual([quit.op, quit.info], ["quit", "invalid request op"]);
  assert.equal(await client.closed(), 1000);
});
