/** A store in the browser's database: it survives a reload, and a crash of the browser. */

import { DiskError } from '../errors.js';
import { type Change, type Found, isWorthSyncing, MOST_ACKED, type Store, type StoredPost } from './store.js';

const settled = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

const complete = (transaction: IDBTransaction): Promise<void> =>
  new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });

const failed = (name: string, error: unknown): DiskError => {
  const { name: kind, message } = error as Error;
  const full = kind === 'QuotaExceededError';
  return new DiskError(`${name}: ${full ? 'the browser gives no more space' : message || kind}`, error);
};

/** One database, `name` and the owner, for one node. */
export class IndexedDbStore implements Store {
  #name: string;
  #db: IDBDatabase | undefined;

  constructor(name = 'websocket-mq') {
    this.#name = name;
  }

  async open(owner: string): Promise<Found> {
    try {
      this.#name += ` ${owner}`;
      const opening = indexedDB.open(this.#name, 1);
      opening.onupgradeneeded = () => {
        opening.result.createObjectStore('posts', { keyPath: 'id' });
        opening.result.createObjectStore('acked', { autoIncrement: true });
        opening.result.createObjectStore('last');
      };
      const db = (this.#db = await settled(opening));
      // Deleted by the user, or by a page of the same origin: then writes fail, and say so.
      db.onversionchange = () => db.close();
      const stores = db.transaction(['posts', 'acked', 'last']);
      const all = (name: string): Promise<unknown[]> => settled(stores.objectStore(name).getAll());
      const [posts, acked, [lastId]] = await Promise.all([all('posts'), all('acked'), all('last')]);
      return { lastId: lastId as number | undefined, posts: posts as StoredPost[], acked: acked as string[] };
    } catch (error) {
      throw failed(this.#name, error);
    }
  }

  async write(changes: readonly Change[]): Promise<void> {
    try {
      const transaction = this.#db!.transaction(['posts', 'acked', 'last'], 'readwrite', {
        durability: isWorthSyncing(changes) ? 'strict' : 'relaxed',
      });
      const done = complete(transaction);
      const [posts, acked] = [transaction.objectStore('posts'), transaction.objectStore('acked')];
      for (const change of changes) {
        if (change.type === 'keep') {
          posts.put(change.post);
          transaction.objectStore('last').put(change.post.id, 0);
        } else if (change.type === 'discard') {
          posts.delete(change.id);
        } else {
          const added = acked.add(change.id);
          added.onsuccess = () => {
            const old = Number(added.result) - MOST_ACKED;
            if (old > 0) acked.delete(old);
          };
        }
      }
      await done;
    } catch (error) {
      throw failed(this.#name, error);
    }
  }

  async close(): Promise<void> {
    this.#db?.close();
  }
}
