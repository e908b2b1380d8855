/** The entry point for Node. */

import { Client, type Options } from './client.js';
import { type Added, addNode as addNodeBy, type Addition, type Registered, register as registerBy, type Registration } from './enrol.js';
import { dial } from './node-link.js';
import { FileStore } from './store/file.js';
import { MemoryStore } from './store/memory.js';
import type { Store } from './store/store.js';

export * from './api.js';
export { FileStore, MemoryStore };

/** How to connect from Node. */
export interface NodeOptions extends Options {
  /** The path of a file for the outbox, made if there is none, or a store of one's own. Posts are kept there
   * until they are acked, and sent even after a restart of the program; messages that were acked are not shown
   * again then. One client at a time, always of the same node. Without it all that is in memory only. */
  outbox?: string | Store;
}

const platform = { dial, soon: (run: () => void): void => void setImmediate(run) };

/** Connects and logs in. This first time nothing is tried twice, unless `beginOffline` is set.
 *
 * Rejects with `AddressError`, `ConnectError`, `UntrustedError`, `TlsError`, `ProtocolError`: no such server;
 * `UserUnknownError`, `NodeUnknownError`, `NodeActiveError`, `RefusedError`: it does not let us in;
 * `DiskError`: the outbox is no good. */
export function connect(url: string, options: NodeOptions): Promise<Client> {
  const { outbox, ...rest } = options;
  const store = typeof outbox === 'string' ? new FileStore(outbox) : outbox;
  return Client.start(url, rest, platform, store);
}

/** Creates a user with one node, over a connection of its own. Rejects with `UserExistsError`, `RejectedError`,
 * or as {@link connect}. */
export const register = (url: string, wanted: Registration): Promise<Registered> => registerBy(dial, url, wanted);

/** Adds a node to a user who has the node `prev`, over a connection of its own. What waits for `prev` will be
 * delivered to the new one too. Rejects with `UserUnknownError`, `NodeUnknownError`, `RejectedError`, or as
 * {@link connect}. */
export const addNode = (url: string, wanted: Addition): Promise<Added> => addNodeBy(dial, url, wanted);
