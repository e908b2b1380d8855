// node boss.mjs SERVER JOB...: hands each job to one worker, whichever takes it first.

import { connect } from 'websocket-mq';
import { me } from '../me.mjs';

const [, , url, ...jobs] = process.argv;
const boss = await connect(url, await me(url, 'boss'));
// Type 0: one node of the user.
for (const job of jobs) await boss.post({ workers: 0 }, job);
console.log(`${jobs.length} jobs are with the server`);

// One may be done twice, if its worker was killed before it could say so.
const open = new Set(jobs);
for await (const result of boss) {
  console.log(`${result.etc.job}: ${result.text}`);
  await result.ack();
  open.delete(result.etc.job);
  if (!open.size) break;
}
await boss.close();
