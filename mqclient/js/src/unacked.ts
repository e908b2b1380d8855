/** Requests on their way: in the order of submission, kept until the server settles them. */

import type { MqError } from './errors.js';
import type { Request } from './request.js';

/** How many requests may be on a link before one of them is acked. Far fewer than the 4,096 of which a
 * server of version 2 knows a repeat: all of them may have to be sent again. */
const IN_FLIGHT = 1024;

export interface Entry {
  readonly id: number;
  readonly message: Uint8Array;
  readonly kind: Request['kind'];
  readonly needsV2: boolean;
  /** Is it in the outbox on disk, or on its way there? */
  readonly stored: boolean;
  /** On this session's clock. */
  readonly deadline: number | undefined;
  /** May it be sent? Not before it is in the outbox on disk, if it belongs there. */
  ready: boolean;
  /** Was it given to the present link? */
  sent: boolean;
  /** Was it given to a link, this one or an earlier? */
  attempted: boolean;
}

export class Unacked {
  /** In the order of their ids. */
  #entries = new Map<number, Entry>();
  /** Those not sent on the present link, and perhaps some that are settled, from `#next` on. */
  #unsent: Entry[] = [];
  #next = 0;
  #inFlight = 0;
  /** How many of those the server acks without further ado. */
  #owed = 0;
  /** How many have a deadline. */
  #dated = 0;
  bytes = 0;

  constructor(public lastId: number) {}

  get size(): number {
    return this.#entries.size;
  }

  /** A new one, which gets the next id; `stored` if it waits until it is in the outbox on disk. */
  push(message: Uint8Array, request: Request, stored: boolean, deadline: number | undefined): void {
    const { kind, needsV2 } = request;
    const id = ++this.lastId;
    this.#insert({ id, message, kind, needsV2, stored, deadline, ready: !stored, sent: false, attempted: false });
  }

  /** A post that an earlier session left in the outbox on disk. */
  restore(id: number, message: Uint8Array, deadline: number | undefined): void {
    this.lastId = Math.max(this.lastId, id);
    this.#insert({
      id, message, kind: 'post', needsV2: false, stored: true, deadline, ready: true, sent: false, attempted: true,
    });
  }

  #insert(entry: Entry): void {
    this.bytes += entry.message.length;
    this.#entries.set(entry.id, entry);
    this.#unsent.push(entry);
    if (entry.deadline !== undefined) this.#dated++;
  }

  /** It is in the outbox on disk, and may be sent. */
  makeReady(id: number): void {
    const entry = this.#entries.get(id);
    if (entry) entry.ready = true;
  }

  /** The next to send on this link. */
  pollTransmit(): Uint8Array | undefined {
    if (this.#inFlight >= IN_FLIGHT) return undefined;
    let entry = this.#unsent[this.#next];
    while (entry && !this.#entries.has(entry.id)) entry = this.#unsent[++this.#next];
    // One that is not ready holds up those behind it: their order is promised.
    if (!entry?.ready) return undefined;
    if (++this.#next > IN_FLIGHT) this.#unsent.splice(0, this.#next), (this.#next = 0);
    entry.sent = entry.attempted = true;
    this.#inFlight++;
    this.#owed += Number(entry.kind !== 'aliases');
    return entry.message;
  }

  /** The next one to be too late. */
  #nextLate(): Entry | undefined {
    let earliest: Entry | undefined;
    if (this.#dated) {
      for (const entry of this.#entries.values()) {
        if (entry.deadline! < (earliest?.deadline ?? Infinity)) earliest = entry;
      }
    }
    return earliest;
  }

  /** When the next one is too late. */
  get deadline(): number | undefined {
    return this.#nextLate()?.deadline;
  }

  /** Takes out one whose deadline has come. */
  takeLate(now: number): Entry | undefined {
    const late = this.#nextLate();
    return late && late.deadline! <= now ? this.settle(late.id) : undefined;
  }

  /** Does the server owe an ack? One for new aliases may wait behind messages that the application does
   * not ack, so it is not owed. */
  expectsAck(): boolean {
    return this.#owed > 0;
  }

  /** A new link: everything is sent again. Returns how many of them were sent before. */
  sendAgain(): number {
    const again = this.#inFlight;
    this.#unsent = [...this.#entries.values()];
    for (const entry of this.#unsent) entry.sent = false;
    this.#next = this.#inFlight = this.#owed = 0;
    return again;
  }

  /** Takes out an entry, if there is one of that id. */
  settle(id: number): Entry | undefined {
    const entry = this.#entries.get(id);
    if (!entry) return undefined;
    this.#entries.delete(id);
    this.bytes -= entry.message.length;
    if (entry.sent) {
      this.#inFlight--;
      this.#owed -= Number(entry.kind !== 'aliases');
    }
    if (entry.deadline !== undefined) this.#dated--;
    return entry;
  }

  /** Takes out the oldest change of aliases. */
  settleAliases(): Entry | undefined {
    for (const entry of this.#entries.values()) {
      if (entry.kind === 'aliases') return this.settle(entry.id);
    }
    return undefined;
  }

  /** Takes out the largest of those sent on this link. */
  takeLargestSent(): Entry | undefined {
    let largest: Entry | undefined;
    for (const entry of this.#entries.values()) {
      if (entry.sent && entry.message.length >= (largest?.message.length ?? 0)) largest = entry;
    }
    return largest && this.settle(largest.id);
  }

  /** Takes out those for which `why` has a reason. */
  takeUnfit<E extends MqError>(why: (entry: Entry) => E | undefined): [Entry, E][] {
    const unfit: [Entry, E][] = [];
    for (const entry of this.#entries.values()) {
      const error = why(entry);
      if (error) unfit.push([entry, error]);
    }
    for (const [entry] of unfit) this.settle(entry.id);
    return unfit;
  }

  /** Takes out everything. */
  clear(): Entry[] {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    this.#unsent = [];
    this.#next = this.#inFlight = this.#owed = this.#dated = this.bytes = 0;
    return entries;
  }
}
