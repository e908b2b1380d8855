// Who one is: a node whose name the server issued is kept in a file, as a password is.

import { readFileSync, writeFileSync } from 'node:fs';
import { addNode, register } from 'websocket-mq';

/** The node in `file`; or a new one, of a new user or added by the node in `prevFile`. */
export async function me(url, user, { aliases = [], file = `${user}.node`, prevFile } = {}) {
  try {
    return { user, node: readFileSync(file, 'utf8') };
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  const { node } = prevFile
    ? await addNode(url, { user, prev: readFileSync(prevFile, 'utf8') })
    : await register(url, { user, aliases });
  writeFileSync(file, node, { mode: 0o600 });
  return { user, node };
}
