// The examples, as they are started by hand.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Program } from './program.mjs';
import { folder, inTime, Server, sleep, until } from './server.mjs';

let server;
before(async () => (server = await Server.start()));
after(() => server.stop());

test('chat: two terminals talk', async () => {
  const cwd = folder();
  const alice = new Program(cwd, 'examples/chat/terminal.mjs', server.url, 'alice', 'bob');
  const bob = new Program(cwd, 'examples/chat/terminal.mjs', server.url, 'bob', 'alice');
  await Promise.all([alice.prints('you are alice'), bob.prints('you are bob')]);
  alice.types('hello');
  await bob.prints('alice: hello');
  bob.types('hello yourself');
  await alice.prints('bob: hello yourself');
  await Promise.all([alice.kill(), bob.kill()]);
});

test('jobs: each is done by one worker, also those of a worker that is killed', async () => {
  const cwd = folder();
  const ann = new Program(cwd, 'examples/jobs/worker.mjs', server.url, 'ann');
  await ann.prints('ann works');
  const ben = new Program(cwd, 'examples/jobs/worker.mjs', server.url, 'ben');
  await ben.prints('ben works');
  const jobs = Array.from({ length: 40 }, (_, i) => `job${i}`);
  const boss = new Program(cwd, 'examples/jobs/boss.mjs', server.url, ...jobs);
  await boss.prints('done by ann');
  await boss.prints('done by ben');
  await ann.kill();
  assert.equal(await inTime(boss.exit), 0, boss.output);
  const done = boss.lines(/done by/).map((line) => line.split(':')[0]);
  assert.deepEqual([...new Set(done)].sort(), [...jobs].sort());
  // The one that the killed worker had may be done twice.
  assert.ok(done.length <= jobs.length + 1, done.join());
  await ben.kill();
});

test('sensor: what it kept arrives in order, over a server and a sensor that are killed', async () => {
  const own = await Server.start();
  const cwd = folder();
  const station = new Program(cwd, 'examples/sensor/station.mjs', own.url);
  await station.prints('waiting for readings');
  await own.kill();
  const kept = [];
  for (let life = 0; life < 2; life++) {
    const sensor = new Program(cwd, 'examples/sensor/sensor.mjs', own.url, '10');
    await sensor.prints('kept');
    await sleep(200);
    await sensor.kill();
    kept.push(...sensor.lines(/^kept/));
  }
  await own.start();
  const sensor = new Program(cwd, 'examples/sensor/sensor.mjs', own.url, '10');
  await sensor.prints('online');
  const count = () => station.lines(/°C/).length;
  await until(() => count() > kept.length + 5, 'all readings');
  await sensor.kill();
  const times = station.lines(/°C/).map((line) => /at (\S+):/.exec(line)[1]);
  assert.ok(kept.length > 10 && count() > kept.length);
  assert.deepEqual(times, [...times].sort());
  await station.kill();
  await own.stop();
});

test('list: an invitation is accepted, and the members read each other until one leaves', async () => {
  const cwd = folder();
  const [carl, dora] = ['carl', 'dora'].map((user) => new Program(cwd, 'examples/list/member.mjs', server.url, user));
  await Promise.all([carl.prints('you are carl'), dora.prints('you are dora')]);
  carl.types('/invite dora@home');
  await dora.prints('carl invites you to friends: join us');
  dora.types('/accept');
  await carl.prints('(dora: add dora on friends)');
  dora.types('hello all');
  await carl.prints('dora: hello all');
  carl.types('welcome');
  await dora.prints('carl: welcome');
  dora.types('/leave');
  await carl.prints('(dora: remove dora on friends)');
  dora.types('still here?');
  await dora.prints('not found');
  await Promise.all([carl.kill(), dora.kill()]);
});
