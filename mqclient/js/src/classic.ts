/** The original's way of 2011: one function per request, callbacks, and events. Version 1 of the protocol.
 *
 * It keeps nothing: no reconnect, no outbox, no filter. What comes is acked by the caller, by `ack`.
 */

import { checkUrl } from './client.js';
import { ArgumentError, HeaderTooLongError, LostError, MqError, ProtocolError, RejectedError } from './errors.js';
import type { Dial, Link, Tls } from './link.js';
import { quitError } from './quits.js';
import * as requests from './request.js';
import { DEFAULTS } from './session.js';
import { ascii, dataOf, etcValue, MAX_HEADER, message, parse, type Reply, text } from './wire.js';

/** A message of the server's: its header, with `etc` as a value, and the data. */
export interface Incoming {
  op: string;
  id?: string;
  from?: string;
  type?: string;
  info?: string;
  error?: string;
  offset?: number;
  etc?: any;
  data: Uint8Array;
  /** The data as UTF-8. */
  text: string;
}

/** Called with what went wrong, or with the server's answer. */
export type Callback = (error: MqError | null, answer?: Incoming) => void;

/** `open` and `close` tell of the connection, the others of a message of that op. */
export interface ClassicEvents {
  open: () => void;
  close: (why: MqError) => void;
  registered: (message: Incoming) => void;
  added: (message: Incoming) => void;
  info: (message: Incoming) => void;
  quit: (message: Incoming) => void;
  ack: (message: Incoming) => void;
  deliver: (message: Incoming) => void;
  listEdited: (message: Incoming) => void;
}

/** Data, `etc` and a callback, of which each may be missing. */
type Rest = [data?: requests.Body | Callback, etc?: unknown | Callback, callback?: Callback];

function split(rest: Rest): { data: requests.Body | undefined; etc: unknown; callback: Callback | undefined } {
  const at = rest.findIndex((arg) => typeof arg === 'function');
  const [data, etc] = (at < 0 ? rest : rest.slice(0, at)) as [requests.Body?, unknown?];
  return { data, etc, callback: rest[at] as Callback | undefined };
}

/** A connection, on which requests may be made at once: they wait until it stands. */
export class ClassicClient {
  #link: Link;
  #open = false;
  #queue: Uint8Array[] = [];
  #closed: MqError | undefined;
  #quit: MqError | undefined;
  #user = '';
  #lastId = 0;
  /** Who waits for an answer: by the id of an ack, or in turn by the op of others. */
  #acks = new Map<string, Callback>();
  #turns: Record<string, Callback[]> = { registered: [], added: [], info: [] };
  #listeners = new Map<string, Set<(...args: any[]) => void>>();

  constructor(dial: Dial, url: string, tls: Tls) {
    checkUrl(url);
    this.#link = dial(url, tls, DEFAULTS.maxMessage + MAX_HEADER + 4, {
      open: () => {
        this.#open = true;
        for (const bytes of this.#queue.splice(0)) this.#link.send(bytes);
        this.#emit('open');
      },
      message: (bytes) => this.#received(bytes),
      heard() {},
      closed: (why) => this.#ended(this.#quit ?? why),
    });
  }

  /** Before login: creates the user `userId` with the node `newNode`. After it: replaces one's own aliases, with an
   * empty `newNode`. `aliases` are parted by spaces. */
  register(userId: string, newNode: string, aliases: string, callback?: Callback): this {
    return this.#ask('registered', requests.register(userId, newNode, aliases), callback);
  }

  /** Adds a node to a user who has the node `prevNode`; the answer has its `offset`. */
  addNode(userId: string, newNode: string, prevNode: string, callback?: Callback): this {
    return this.#ask('added', requests.addNode(userId, newNode, prevNode), callback);
  }

  /** Logs in. Deliveries begin behind the answer. */
  login(userId: string, nodeId: string, callback?: Callback): this {
    this.#user = userId;
    return this.#ask('info', requests.login(userId, nodeId, undefined, false), callback);
  }

  /** Edits the list `to`: `type` is `add` or `remove` a user, or `invite` the owner of an alias. */
  listEdit(to: string, type: string, member: string, ...rest: Rest): this {
    const { data, etc, callback } = split(rest);
    return this.#request((id) => requests.listEdit(to, type as requests.ListEdit, member, data, etc).encode(id, ''), callback);
  }

  /** Posts to names with their types: `{bob: 1, team: 2}`. */
  post(to: requests.To, ...rest: Rest): this {
    const { data, etc, callback } = split(rest);
    return this.#request((id) => requests.post(to, data, etc).encode(id, ''), callback);
  }

  /** Posts to the owner of an alias. */
  ping(alias: string, ...rest: Rest): this {
    const { data, etc, callback } = split(rest);
    return this.#request((id) => requests.ping(alias, data, etc).encode(id, ''), callback);
  }

  /** Tells the server that it may forget the message `id`. The next one follows. */
  ack(id: string, type = 'ok'): this {
    return this.#send(message(ascii(JSON.stringify({ op: 'ack', id, type }))));
  }

  /** Calls `listener` with each message of the op `event`. */
  on<E extends keyof ClassicEvents>(event: E, listener: ClassicEvents[E]): this {
    this.#listeners.set(event, (this.#listeners.get(event) ?? new Set()).add(listener));
    return this;
  }

  off<E extends keyof ClassicEvents>(event: E, listener: ClassicEvents[E]): this {
    this.#listeners.get(event)?.delete(listener);
    return this;
  }

  /** Closes the connection when what was asked is sent. */
  close(): void {
    this.#link.close();
  }

  #request(encode: (id: string) => Uint8Array | undefined, callback: Callback | undefined): this {
    const id = String(++this.#lastId);
    const bytes = encode(id);
    if (!bytes) throw new HeaderTooLongError();
    if (this.#closed) return this.#fail(callback);
    if (callback) this.#acks.set(id, callback);
    return this.#send(bytes);
  }

  #ask(answer: string, bytes: Uint8Array | undefined, callback: Callback | undefined): this {
    if (!bytes) throw new ArgumentError('names of more than 65,000 bytes');
    if (this.#closed) return this.#fail(callback);
    this.#turns[answer]!.push(callback ?? (() => {}));
    return this.#send(bytes);
  }

  #fail(callback: Callback | undefined): this {
    queueMicrotask(() => callback?.(this.#closed!));
    return this;
  }

  #send(bytes: Uint8Array | undefined): this {
    if (!bytes) throw new HeaderTooLongError();
    if (this.#open) this.#link.send(bytes);
    else this.#queue.push(bytes);
    return this;
  }

  #received(bytes: Uint8Array): void {
    let reply: Reply;
    try {
      reply = parse(bytes);
    } catch (error) {
      this.#quit ??= error as ProtocolError;
      return this.#link.close();
    }
    const { op, id, from, type, info, error, offset } = reply;
    const data = dataOf(reply);
    const incoming: Incoming = { op, data, text: text(data) };
    Object.assign(incoming, Object.fromEntries(
      Object.entries({ id, from, type, info, error, offset, etc: etcValue(reply) }).filter(([, value]) => value !== undefined)));
    if (op === 'quit') this.#quit = quitError(info ?? '');
    // New aliases are confirmed by a message to all one's nodes, which is acked as others are.
    const answers = op === 'registered' ? id === undefined || from === this.#user : id === undefined;
    const callback = op === 'ack' ? this.#acks.get(id ?? '') : answers ? this.#turns[op]?.shift() : undefined;
    if (op === 'ack') this.#acks.delete(id ?? '');
    const failed = type === 'error' || ((op === 'registered' || op === 'added') && error !== undefined);
    callback?.(failed ? new RejectedError(error ?? '') : null, incoming);
    this.#emit(op, incoming);
  }

  #ended(why: MqError): void {
    this.#closed = why;
    const waiting = [...this.#acks.values(), ...Object.values(this.#turns).flat()];
    this.#acks.clear();
    for (const turn of Object.values(this.#turns)) turn.length = 0;
    for (const callback of waiting) callback(why instanceof MqError ? why : new LostError());
    this.#emit('close', why);
  }

  #emit(event: string, ...args: unknown[]): void {
    for (const listener of this.#listeners.get(event) ?? []) listener(...args);
  }
}
