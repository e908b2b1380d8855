// node worker.mjs SERVER NAME: a node of the user `workers`. The first one registers the user, the others are
// added by the first one's node.

import { existsSync } from 'node:fs';
import { connect } from 'websocket-mq';
import { me } from '../me.mjs';

const [, , url, name] = process.argv;
const first = 'workers.node';
const file = existsSync(first) ? `worker-${name}.node` : first;
// One job at a time: a job that this worker holds no other one gets.
const worker = await connect(url, { ...await me(url, 'workers', { file, prevFile: file === first ? undefined : first }), window: 1 });
console.log(`${name} works`);

for await (const job of worker) {
  await new Promise((resolve) => setTimeout(resolve, 20));
  // The result first, then the ack: who is killed between them has the job done again, not forgotten.
  await worker.post(job.from, `done by ${name}`, { etc: { job: job.text }, noNodes: true });
  await job.ack();
}
