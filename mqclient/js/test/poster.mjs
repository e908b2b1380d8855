// Posts to a server that is not there, says when the posts are in the outbox, and waits to be killed.
import { connect } from '../dist/esm/node.js';

const [, , outbox, user, to] = process.argv;
const client = await connect('ws://127.0.0.1:1', { user, node: user, outbox, beginOffline: true });
await Promise.all(Array.from({ length: 20 }, (_, i) => client.startPost(to, String(i))));
console.log('kept');
