/** What a client keeps on disk: posts that are not acked, and the ids of messages that it acked. */

/** A post as it is sent. */
export interface StoredPost {
  id: number;
  message: Uint8Array;
  /** By the wall clock, in ms since 1970. */
  deadline?: number | undefined;
}

/** One thing to write. */
export type Change =
  | { type: 'keep'; post: StoredPost }
  | { type: 'discard'; id: number }
  | { type: 'remember'; id: string };

/** What was there when the store was opened. */
export interface Found {
  /** The highest id that a post ever had here; undefined if there was none. */
  lastId: number | undefined;
  /** In the order of their ids. */
  posts: StoredPost[];
  /** The latest last. */
  acked: string[];
}

/** Where an outbox is. One client at a time has it open. */
export interface Store {
  /** Opens it for `owner`, a text that names the user and the node but does not tell them. Rejects with a
   * `DiskError` if it cannot be used, or is another's. */
  open(owner: string): Promise<Found>;
  /** Writes `changes` in their order; once this resolves they are durable, but for those that are not
   * {@link isWorthSyncing}. Called again only after that.
   * After a rejection, with a `DiskError`, none of the changes counts. */
  write(changes: readonly Change[]): Promise<void>;
  close(): Promise<void>;
}

/** How many acked ids a store keeps: four of the longest windows. */
export const MOST_ACKED = 4000;

/** Must they be durable? A post that was settled and is there again after a crash is sent again, and the server
 * knows it. */
export const isWorthSyncing = (changes: readonly Change[]): boolean =>
  changes.some(({ type }) => type !== 'discard');
