/** A store in a file: a log of what happened, written anew when most of it is over.
 *
 * A record is `mqo1`, the length of its payload and the payload's CRC-32, both of four bytes, little-endian,
 * and the payload: a line of JSON and, for a post, its message. The first record says whose the file is.
 */

import { type FileHandle, open, readFile, rename, rm, copyFile, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { DiskError, MqError } from '../errors.js';
import { type Change, type Found, isWorthSyncing, MOST_ACKED, type Store, type StoredPost } from './store.js';

const MAGIC = Buffer.from('mqo1');
const HEAD = 12;
/** A log that is shorter is never written anew while it is open. */
const SMALL = 1 << 20;

/** Those open in this process. */
const openHere = new Set<string>();

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) crc = table[(crc ^ byte) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

function record(line: object, message?: Uint8Array): Buffer {
  const payload = Buffer.concat([Buffer.from(JSON.stringify(line) + '\n'), message ?? new Uint8Array()]);
  const head = Buffer.alloc(HEAD);
  MAGIC.copy(head);
  head.writeUInt32LE(payload.length, 4);
  head.writeUInt32LE(crc32(payload), 8);
  return Buffer.concat([head, payload]);
}

/** The payload of the record at `at`, if there is a whole one. */
function payloadAt(log: Buffer, at: number): Buffer | undefined {
  if (at + HEAD > log.length || !log.subarray(at, at + 4).equals(MAGIC)) return undefined;
  const payload = log.subarray(at + HEAD, at + HEAD + log.readUInt32LE(at + 4));
  const whole = payload.length === log.readUInt32LE(at + 4) && crc32(payload) === log.readUInt32LE(at + 8);
  return whole ? payload : undefined;
}

interface Line {
  owner?: string;
  lastId?: number;
  keep?: number;
  deadline?: number;
  discard?: number;
  remember?: string;
}

/** An outbox in one file; `path` and `.lock` names who has it open. */
export class FileStore implements Store {
  readonly #path: string;
  #owner = '';
  #file: FileHandle | undefined;
  #posts = new Map<number, StoredPost>();
  #acked: string[] = [];
  #lastId: number | undefined;
  /** Of the log, in bytes; and of the posts in it. */
  #size = 0;
  #live = 0;
  /** Is what is in the file no longer known? */
  #doubtful = false;
  #closed: Promise<void> | undefined;

  constructor(path: string) {
    this.#path = resolve(path);
  }

  async open(owner: string): Promise<Found> {
    this.#owner = owner;
    await this.#told(() => this.#lock());
    try {
      await this.#told(() => this.#read());
      await this.#told(() => this.#writeAnew());
    } catch (error) {
      await this.close();
      throw error;
    }
    return { lastId: this.#lastId, posts: [...this.#posts.values()], acked: [...this.#acked] };
  }

  write(changes: readonly Change[]): Promise<void> {
    return this.#told(async () => {
      if (this.#doubtful) await this.#writeAnew();
      const records = Buffer.concat(changes.map((change) => {
        switch (change.type) {
          case 'keep':
            return record({ keep: change.post.id, deadline: change.post.deadline }, change.post.message);
          case 'discard':
            return record({ discard: change.id });
          default:
            return record({ remember: change.id });
        }
      }));
      try {
        await writeAll(this.#file!, records, this.#size);
        if (isWorthSyncing(changes)) {
          // What a sync that failed leaves on the disk nobody knows.
          this.#doubtful = true;
          await this.#file!.datasync();
          this.#doubtful = false;
        }
      } catch (error) {
        // What got there of it is not to count.
        await this.#file!.truncate(this.#size).catch(() => (this.#doubtful = true));
        throw error;
      }
      this.#size += records.length;
      for (const change of changes) this.#apply(change);
      if (this.#size > SMALL && this.#size > 4 * this.#live) {
        // A log that is long is no harm, and the next write tries again.
        await this.#writeAnew().catch(() => {});
      }
    });
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    await this.#file?.close().catch(() => {});
    this.#file = undefined;
    if (openHere.delete(this.#path)) await rm(`${this.#path}.lock`, { force: true }).catch(() => {});
  }

  #apply(change: Change): void {
    if (change.type === 'keep') {
      this.#posts.set(change.post.id, change.post);
      this.#live += change.post.message.length;
      this.#lastId = Math.max(this.#lastId ?? 0, change.post.id);
    } else if (change.type === 'discard') {
      this.#live -= this.#posts.get(change.id)?.message.length ?? 0;
      this.#posts.delete(change.id);
    } else {
      this.#acked.push(change.id);
      if (this.#acked.length > 2 * MOST_ACKED) this.#acked.splice(0, MOST_ACKED);
    }
  }

  async #lock(): Promise<void> {
    const path = `${this.#path}.lock`;
    const inUse = (who: string) => new DiskError(`${this.#path}: in use by ${who} (its lock: ${path})`);
    if (openHere.has(this.#path)) throw inUse('another client of this program');
    openHere.add(this.#path);
    try {
      for (let tries = 0; ; tries++) {
        try {
          return await writeFile(path, String(process.pid), { flag: 'wx' });
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || tries > 2) throw error;
          const pid = Number(await readFile(path, 'utf8').catch(() => ''));
          // This process has it not open, so one of that number before it had.
          if (pid && pid !== process.pid && isAlive(pid)) throw inUse(`process ${pid}`);
          await rm(path, { force: true });
        }
      }
    } catch (error) {
      openHere.delete(this.#path);
      throw error;
    }
  }

  /** Reads the log. The last write may be there in part; damage before it is skipped, and the file kept. */
  async #read(): Promise<void> {
    const log = await readFile(this.#path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return Buffer.alloc(0);
      throw error;
    });
    let damaged = false;
    for (let at = 0; at < log.length;) {
      const payload = payloadAt(log, at);
      if (!payload) {
        let next = at;
        do next = log.indexOf(MAGIC, next + 1);
        while (next >= 0 && !payloadAt(log, next));
        // A log without a whole record is none of ours.
        damaged ||= next >= 0 || at === 0;
        if (next < 0) break;
        at = next;
        continue;
      }
      at += HEAD + payload.length;
      const end = payload.indexOf(10);
      const line: Line = JSON.parse(payload.subarray(0, end).toString());
      if (line.owner !== undefined && line.owner !== this.#owner) {
        throw new DiskError(`${this.#path}: belongs to another user or node`);
      }
      if (line.lastId !== undefined) this.#lastId = line.lastId;
      if (line.keep !== undefined) {
        const post = { id: line.keep, message: payload.subarray(end + 1), deadline: line.deadline };
        this.#apply({ type: 'keep', post });
      }
      if (line.discard !== undefined) this.#apply({ type: 'discard', id: line.discard });
      if (line.remember !== undefined) this.#apply({ type: 'remember', id: line.remember });
    }
    if (damaged) await copyFile(this.#path, `${this.#path}.damaged-${Date.now()}`);
  }

  /** Writes a log of what is live, and has it take the old one's place. */
  async #writeAnew(): Promise<void> {
    const path = `${this.#path}.new`;
    const records = [
      record({ owner: this.#owner, lastId: this.#lastId }),
      ...[...this.#posts.values()].map(({ id, message, deadline }) => record({ keep: id, deadline }, message)),
      ...this.#acked.slice(-MOST_ACKED).map((id) => record({ remember: id })),
    ];
    const log = Buffer.concat(records);
    const file = await open(path, 'w', 0o600);
    try {
      await writeAll(file, log, 0);
      await file.sync();
      await rename(path, this.#path);
    } catch (error) {
      await file.close().catch(() => {});
      await rm(path, { force: true }).catch(() => {});
      throw error;
    }
    await this.#file?.close().catch(() => {});
    this.#file = file;
    this.#size = log.length;
    this.#doubtful = false;
    const directory = await open(dirname(this.#path), 'r').catch(() => undefined);
    // Where a directory cannot be synced, renaming is durable by itself or not at all.
    await directory?.sync().catch(() => {});
    await directory?.close();
  }

  async #told<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw error instanceof MqError ? error : new DiskError(`${this.#path}: ${(error as Error).message}`, error);
    }
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
