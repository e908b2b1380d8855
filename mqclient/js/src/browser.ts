/** The entry point for browsers. */

import { Client, type Options, ownerOf } from './client.js';
import { type Added, addNode as addNodeBy, type Addition, type Registered, register as registerBy, type Registration } from './enrol.js';
import { dial } from './browser-link.js';
import { NodeActiveError, TakenOverError } from './errors.js';
import { IndexedDbStore } from './store/indexeddb.js';
import type { Store } from './store/store.js';

export * from './api.js';
export { IndexedDbStore };

/** How to connect from a browser. */
export interface BrowserOptions extends Options {
  /** Keep posts in IndexedDB until they are acked, and send them even after a reload; what was acked is not shown
   * again then. `true`, a name for the database, or a store of one's own. */
  outbox?: boolean | string | Store;
  /** A node belongs to one tab at a time. If another tab has it: `wait` until that one is closed, which is the
   * default; `take` it over, and that tab's client ends with `TakenOverError`; or `fail` with `NodeActiveError`. */
  tabs?: 'wait' | 'take' | 'fail';
}

// Not queueMicrotask: acks and posts are to gather while messages come in.
const platform = {
  dial,
  soon(run: () => void): void {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      run();
    };
    port2.postMessage(0);
  },
};

/** Connects and logs in, once no other tab has the node: see {@link BrowserOptions.tabs}. This first time nothing
 * is tried twice, unless `beginOffline` is set.
 *
 * Rejects with `AddressError`, `ConnectError`, `ProtocolError`: no such server, or no trust, which browsers do
 * not tell; `UserUnknownError`, `NodeUnknownError`, `NodeActiveError`, `RefusedError`: it does not let us in;
 * `DiskError`: the outbox is no good. */
export async function connect(url: string, options: BrowserOptions): Promise<Client> {
  const { outbox, tabs = 'wait', ...rest } = options;
  let client: Client | undefined;
  let stolen = false;
  const release = await lock(`websocket-mq ${ownerOf(rest.user, rest.node)}`, tabs, () => {
    stolen = true;
    client?.end(new TakenOverError());
  });
  // With the lock nobody else of this browser has the node: a link that has it is one of a page that is gone.
  const takeover = rest.takeover ?? release !== undefined;
  const store = outbox === true ? new IndexedDbStore() : typeof outbox === 'string' ? new IndexedDbStore(outbox) : outbox || undefined;
  const hurry = (): void => client?.hurry();
  const over = (): void => {
    globalThis.removeEventListener?.('online', hurry);
    release?.();
  };
  client = await Client.start(url, { ...rest, takeover }, platform, store, over);
  if (stolen) client.end(new TakenOverError());
  globalThis.addEventListener?.('online', hurry);
  return client;
}

/** Takes a lock of the browser's; resolves to what releases it, or undefined where there are no locks. */
function lock(name: string, tabs: string, lost: () => void): Promise<(() => void) | undefined> {
  // Only pages from https: or localhost have them.
  if (!globalThis.navigator?.locks) return Promise.resolve(undefined);
  const options = tabs === 'take' ? { steal: true } : { ifAvailable: tabs === 'fail' };
  return new Promise((resolve, reject) => {
    let mine = true;
    navigator.locks.request(name, options, (granted) => {
      if (!granted) return reject(new NodeActiveError());
      return new Promise<void>((release) => resolve(() => {
        mine = false;
        release();
      }));
    }).catch(() => mine && lost());
  });
}

/** Creates a user with one node, over a connection of its own. Rejects with `UserExistsError`, `RejectedError`,
 * or as {@link connect}. */
export const register = (url: string, wanted: Registration): Promise<Registered> => registerBy(dial, url, wanted);

/** Adds a node to a user who has the node `prev`, over a connection of its own. What waits for `prev` will be
 * delivered to the new one too. Rejects with `UserUnknownError`, `NodeUnknownError`, `RejectedError`, or as
 * {@link connect}. */
export const addNode = (url: string, wanted: Addition): Promise<Added> => addNodeBy(dial, url, wanted);
