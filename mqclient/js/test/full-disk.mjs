// Posts what fits, what does not, and what fits again, where a file may have 300 blocks.
import { connect } from '../dist/esm/node.js';

const [, , url, outbox, user, to] = process.argv;
const client = await connect(url, { user, node: user, outbox });
const codes = [];
for (const body of ['x'.repeat(1000), 'y'.repeat(2_000_000), 'small again']) {
  codes.push(await client.post(to, body).then(() => 'ok', (error) => error.code));
}
console.log(JSON.stringify({ codes }));
await client.close();
