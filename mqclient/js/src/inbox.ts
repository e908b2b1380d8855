/** Messages delivered to this node: which ones the application holds, and which it acked. */

import { ProtocolError } from './errors.js';
import * as request from './request.js';
import { dataOf, etcOf, type Reply } from './wire.js';

/** The longest window that a server grants. */
const MAX_WINDOW = 1000;
/** How many messages the application may hold, and how many acked ids are remembered, in windows. More
 * than one: what it held over a lost link another node may have taken over, and a server that was killed
 * may have forgotten acks of some windows. */
const WINDOWS = 4;
/** But at least as many are held, */
const HELD = 16;
/** and as many remembered. */
const REMEMBERED = 256;

/** What a delivered message is: a post, ping or invitation; new aliases; other members of a list. */
export type Kind = 'deliver' | 'registered' | 'listEdited';

/** A message as it is passed to the application. */
export interface Letter {
  id: string;
  from: string;
  kind: Kind;
  posted: string | undefined;
  redelivered: number;
  etc: Uint8Array | undefined;
  data: Uint8Array;
}

/** Where a known message is: with the application; done with, its id on its way to the memory on disk;
 * done with. */
type Place = 'held' | 'remembering' | 'acked';

export class Inbox {
  #mostHeld: number;
  #mostRemembered: number;
  #known = new Map<string, Place>();
  /** Those of them that are acked, the latest last. */
  #acked = new Set<string>();
  /** Acks to send on the present link. */
  #due: string[] = [];
  redelivered = 0;

  constructor(window: number) {
    const windows = WINDOWS * Math.min(window, MAX_WINDOW);
    this.#mostHeld = Math.max(windows, HELD);
    this.#mostRemembered = Math.max(windows, REMEMBERED);
  }

  /** Sorts out a message from the server: new to the application, or known (undefined). Throws what the
   * server did wrong. */
  receive(reply: Reply): Letter | undefined {
    const { id, from, op, posted, redelivered } = reply;
    if (id == null || from == null) throw new ProtocolError('a delivery without id or sender');
    const place = this.#known.get(id);
    if (place) {
      this.redelivered++;
      // The ack was lost with a link, or crossed with the repetition.
      if (place === 'acked') this.#due.push(id);
      return undefined;
    }
    if (this.#known.size - this.#acked.size >= this.#mostHeld) {
      throw new ProtocolError('too many deliveries in flight');
    }
    this.#known.set(id, 'held');
    const kind = op === 'registered' || op === 'listEdited' ? op : 'deliver';
    return { id, from, kind, posted, redelivered, etc: etcOf(reply), data: dataOf(reply) };
  }

  /** The application is done with `id`, which is to be remembered on disk first. False if it is already,
   * or about to be. */
  remember(id: string): boolean {
    const place = this.#known.get(id);
    if (place === 'remembering' || place === 'acked') return false;
    this.#known.set(id, 'remembering');
    return true;
  }

  /** The application is done with `id`. Offline nothing is sent: the server will deliver it once more, and
   * is told then. */
  ack(id: string, online: boolean): void {
    if (this.#known.get(id) === 'acked') return;
    this.#known.set(id, 'acked');
    if (online) this.#due.push(id);
    if (this.#acked.size >= this.#mostRemembered) {
      const [forgotten] = this.#acked;
      this.#acked.delete(forgotten!);
      this.#known.delete(forgotten!);
    }
    this.#acked.add(id);
  }

  release(id: string): void {
    if (this.#known.get(id) === 'held') this.#known.delete(id);
  }

  /** The next message with acks: in version 2 of all that are due, in version 1 of one. */
  pollAck(version: number): Uint8Array | undefined {
    while (this.#due.length) {
      let count = version === 1 ? 1 : this.#due.length;
      while (count > 0) {
        const message = request.ack(this.#due.slice(0, count), version);
        if (message) {
          this.#due.splice(0, count);
          return message;
        }
        // More than a header holds.
        count = count >> 1;
      }
      // Not even alone.
      this.#due.shift();
    }
    return undefined;
  }

  /** Acks for the old link mean nothing on the next one. */
  disconnected(): void {
    this.#due = [];
  }
}
