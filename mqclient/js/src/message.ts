/** A message that the server delivered to this node. */

import type { Kind, Letter } from './inbox.js';
import { text } from './wire.js';

/** What a message can be told. */
export interface Desk {
  ack(id: string): Promise<void>;
  release(id: string): void;
}

/** A message from this node's queue. It stays there, and takes up a place in the window, until it is acked. */
export class Message {
  /** The server's id of the message. */
  declare readonly id: string;
  /** The user who sent it. */
  declare readonly from: string;
  /** A post, ping or invitation; that one's own aliases were replaced; that a list's members changed. */
  declare readonly kind: Kind;
  /** When it was posted, by the server's clock: ISO 8601, in UTC. Undefined in version 1. */
  declare readonly posted: string | undefined;
  /** How often the server sent it on this link before. 0 is no proof that it was never shown. */
  declare readonly redelivered: number;
  /** The data. */
  declare readonly data: Uint8Array;
  readonly #etc: Uint8Array | undefined;
  readonly #desk: Desk;
  #acked: Promise<void> | undefined;

  constructor({ etc, ...rest }: Letter, desk: Desk) {
    Object.assign(this, rest);
    this.#etc = etc;
    this.#desk = desk;
  }

  /** The JSON value that the sender put beside the data; undefined if there is none. */
  get etc(): any {
    return this.#etc && JSON.parse(text(this.#etc));
  }

  /** The data as UTF-8. */
  get text(): string {
    return text(this.data);
  }

  /** Tells the server that it may forget the message; in any order. With an outbox it is first written there
   * that the message is done with, so that it is not shown again after a restart.
   *
   * Rejects with a `DiskError` if that fails: the message is acked, but may be shown again after a crash; and
   * with why the client ended if it has: the message comes again. Not awaited, that harms nothing. */
  ack(): Promise<void> {
    return (this.#acked ??= this.#desk.ack(this.id));
  }

  /** Gives the message back un-acked: it comes again, 10 s after it was sent, the next times 20, 40 … up to
   * 300 s later. */
  release(): void {
    this.#desk.release(this.id);
  }
}
