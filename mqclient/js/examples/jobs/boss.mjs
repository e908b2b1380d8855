// node boss.mjs SERVER JOB...: hands each job to one worker, whichever takes it first.

import { connect } from 'websocket-mq';
import { me } from '../me.mjs';

const [, , url, ...jobs] = process.argv;
const boss = await connect(url, await me(url, 'boss'));
// Type 0: one node of the user.
for (const job of jobs) await boss.post({ workers: 0 }, job);
console.log(`${jobs.length} jobs are with the server`);

for await (const result of boss) {
  console.log(`${result.etc.job}: ${result.text}`);
  await result.ack();
  jobs.splice(jobs.indexOf(result.etc.job), 1);
  if (!jobs.length) break;
}
await boss.close();
