/** A store that forgets when the program ends: for tests, and as the shortest example of one. */

import { type Change, type Found, MOST_ACKED, type Store, type StoredPost } from './store.js';

export class MemoryStore implements Store {
  #posts = new Map<number, StoredPost>();
  #acked: string[] = [];
  #lastId: number | undefined;

  async open(_owner: string): Promise<Found> {
    return { lastId: this.#lastId, posts: [...this.#posts.values()], acked: [...this.#acked] };
  }

  async write(changes: readonly Change[]): Promise<void> {
    for (const change of changes) {
      if (change.type === 'keep') {
        this.#posts.set(change.post.id, change.post);
        this.#lastId = change.post.id;
      } else if (change.type === 'discard') {
        this.#posts.delete(change.id);
      } else {
        this.#acked.push(change.id);
        if (this.#acked.length > 2 * MOST_ACKED) this.#acked.splice(0, MOST_ACKED);
      }
    }
  }

  async close(): Promise<void> {}
}
