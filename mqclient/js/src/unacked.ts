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
  /** Was it given to a link, this one or an earlier? */
  attempted: boolean;
}

export class Unacked {
  /** Those given to the present link, and the others; in the order of their ids, which go on from one to the
   * other. */
  #sent = new Map<number, Entry>();
  #unsent = new Map<number, Entry>();
  /** How many have a deadline. */
  #dated = 0;
  bytes = 0;

  constructor(public lastId: number) {}

  get size(): number {
    return this.#sent.size + this.#unsent.size;
  }

  #all(): Entry[] {
    return [...this.#sent.values(), ...this.#unsent.values()];
  }

  /** A new one, which gets the next id; `stored` if it waits until it is in the outbox on disk. */
  push(message: Uint8Array, { kind, needsV2 }: Request, stored: boolean, deadline: number | undefined): void {
    const id = ++this.lastId;
    this.#insert({ id, message, kind, needsV2, stored, deadline, ready: !stored, attempted: false });
  }

  /** A post that an earlier session left in the outbox on disk. */
  restore(id: number, message: Uint8Array, deadline: number | undefined): void {
    this.lastId = Math.max(this.lastId, id);
    this.#insert({ id, message, kind: 'post', needsV2: false, stored: true, deadline, ready: true, attempted: true });
  }

  #insert(entry: Entry): void {
    this.bytes += entry.message.length;
    this.#unsent.set(entry.id, entry);
    if (entry.deadline !== undefined) this.#dated++;
  }

  /** It is in the outbox on disk, and may be sent. */
  makeReady(id: number): void {
    const entry = this.#unsent.get(id);
    if (entry) entry.ready = true;
  }

  /** The next to send on this link. */
  pollTransmit(): Uint8Array | undefined {
    const [entry] = this.#unsent.values();
    // One that is not ready holds up those behind it: their order is promised.
    if (!entry?.ready || this.#sent.size >= IN_FLIGHT) return undefined;
    entry.attempted = true;
    this.#unsent.delete(entry.id);
    this.#sent.set(entry.id, entry);
    return entry.message;
  }

  /** The next one to be too late. */
  #nextLate(): Entry | undefined {
    let earliest: Entry | undefined;
    if (this.#dated) {
      for (const entry of this.#all()) if (entry.deadline! < (earliest?.deadline ?? Infinity)) earliest = entry;
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

  /** Does the server owe an ack? One for new aliases may wait behind messages that the application does not
   * ack, so it is not owed. */
  expectsAck(): boolean {
    for (const { kind } of this.#sent.values()) if (kind !== 'aliases') return true;
    return false;
  }

  /** A new link: everything is sent again. Returns how many of them were sent before. */
  sendAgain(): number {
    const again = this.#sent.size;
    this.#unsent = new Map([...this.#sent, ...this.#unsent]);
    this.#sent.clear();
    return again;
  }

  /** Takes out an entry, if there is one of that id. */
  settle(id: number): Entry | undefined {
    const entry = this.#sent.get(id) ?? this.#unsent.get(id);
    if (entry) {
      this.#sent.delete(id);
      this.#unsent.delete(id);
      this.bytes -= entry.message.length;
      if (entry.deadline !== undefined) this.#dated--;
    }
    return entry;
  }

  /** Takes out the oldest change of aliases. */
  settleAliases(): Entry | undefined {
    const oldest = this.#all().find(({ kind }) => kind === 'aliases');
    return oldest && this.settle(oldest.id);
  }

  /** Takes out the largest of those sent on this link. */
  takeLargestSent(): Entry | undefined {
    let largest: Entry | undefined;
    for (const entry of this.#sent.values()) {
      if (entry.message.length >= (largest?.message.length ?? 0)) largest = entry;
    }
    return largest && this.settle(largest.id);
  }

  /** Takes out those for which `why` has a reason. */
  takeUnfit(why: (entry: Entry) => MqError | undefined): [Entry, MqError][] {
    const unfit: [Entry, MqError][] = [];
    for (const entry of this.#all()) {
      const error = why(entry);
      if (error) unfit.push([this.settle(entry.id)!, error]);
    }
    return unfit;
  }

  /** Takes out everything. */
  clear(): Entry[] {
    return this.#all().map(({ id }) => this.settle(id)!);
  }
}
