/** A node that is logged in: the shell around the session, with the link, the clock and the disk. */

import { AddressError, ArgumentError, ClosedError, DeadlineError, MqError } from './errors.js';
import type { Dial, Link, Tls } from './link.js';
import { Message } from './message.js';
import * as requests from './request.js';
import { anywhere, DEFAULTS, type Login, type Receipt, Session, type SessionConfig, type Stats } from './session.js';
import type { Change, Store } from './store/store.js';
import { MAX_HEADER, utf8 } from './wire.js';

/** Bytes that the socket has not taken, from which on it is given no more. */
const HIGH_WATER = 1 << 20;
/** How soon to look again then, in ms. */
const DRAIN = 4;
/** How long closing may take, in ms: for what is still to be sent, and for the server's answer. */
const CLOSE_WAIT = 2000;
/** The longest time that a timer takes, in ms. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** How to connect. Times are in ms. */
export interface Options extends Tls, Partial<Omit<SessionConfig, 'outbox' | 'memory'>> {
  /** The user to log in as. */
  user: string;
  /** The node's name. It is the node's password too. */
  node: string;
  /** What to speak, 2 if it is not said. A server that knows only version 1 is spoken to in that. */
  version?: 1 | 2;
  /** How many messages the server may deliver before one is acked, 1–1000; 100. */
  window?: number;
  /** Take the node over from a connection that holds it, which ends with `TakenOverError`; false in Node. */
  takeover?: boolean;
  /** `connect` resolves at once, and a first attempt that fails is repeated as later ones are; false. */
  beginOffline?: boolean;
  /** How many posts may wait for their ack, in memory and in the outbox; 1024. Further ones wait. */
  maxUnacked?: number;
  /** How many bytes of posts may wait for their ack; 64 MiB. Further ones wait. */
  maxUnackedBytes?: number;
  /** The largest message to send or to take, its header included; 16 MiB. In Node a client ends with
   * `TooLargeError` when a larger one waits for it. */
  maxMessage?: number;
  /** How long connecting and logging in may take, each time; 10,000. */
  loginTimeout?: number;
  /** A link that is silent for so long while acks are owed is taken for lost; 60,000. */
  answerTimeout?: number;
  /** The first pause before a lost link is made again; doubles up to `maxPause`, and varies; 100. */
  minPause?: number;
  /** The longest pause; 5,000. */
  maxPause?: number;
}

/** How to post. */
export interface PostOptions {
  /** A JSON value that travels beside the data. */
  etc?: unknown;
  /** Until when it must be acked, a date or in ms from now; after that it is given up. */
  deadline?: Date | number;
  /** No copies to one's own other nodes. */
  noNodes?: boolean;
}

/** A request on its way. */
export interface Posting {
  /** Its id: the same after a restart, if there is an outbox. */
  readonly id: number;
  /** What became of it. It may be left alone. */
  readonly receipt: Promise<Receipt>;
}

/** One's own nodes, aliases and lists, as the server has them. */
export interface Status {
  nodes: { offset: number; online: boolean; queued: number; bytes: number; lastSeen?: string }[];
  aliases: string[];
  lists: string[];
}

/** What a client tells those who listen. */
export interface Events {
  /** Logged in, the first time or again. */
  online: (login: Login) => void;
  /** The link was lost, or an attempt to make it failed; another follows. */
  offline: (why: MqError) => void;
  /** A message; with a listener for this, the iterator gets none. */
  message: (message: Message) => void;
  /** What became of a post that an earlier client left in the outbox. */
  settled: (id: number, result: Receipt | MqError) => void;
  /** The client has ended, for good. */
  error: (why: MqError) => void;
  /** The client was closed by the application. */
  close: () => void;
}

/** What a client takes from where it runs. */
export interface Platform {
  dial: Dial;
  /** Runs a function soon, after what is happening now. */
  soon(run: () => void): void;
}

interface Waiting {
  request: requests.Request;
  deadline: number | undefined;
  taken: (posting: Posting) => void;
  refused: (why: MqError) => void;
  timer?: ReturnType<typeof setTimeout>;
}

interface Settling {
  settle(result: Receipt | MqError): void;
  /** Set while it is on its way to the outbox. */
  kept?: ((why?: MqError) => void) | undefined;
}

type Taker = { resolve: (result: IteratorResult<Message, undefined>) => void; reject: (why: MqError) => void };

const ignore = (): void => {};
/** The session's clock, in ms. */
const now = (): number => performance.now();

/** A node that is logged in, and stays so: a lost link is made again. Made by `connect`. */
export class Client implements AsyncIterable<Message, undefined> {
  readonly #url: string;
  readonly #options: Options;
  readonly #platform: Platform;
  readonly #store: Store | undefined;
  readonly #session: Session;
  readonly #maxMessage: number;
  readonly #listeners = new Map<keyof Events, Set<(...args: any[]) => void>>();
  #link: Link | undefined;
  /** What the link had not taken when it was last looked at. */
  #buffered = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #scheduled = false;
  #waiting: Waiting[] = [];
  #settling = new Map<number, Settling>();
  #acking = new Map<string, { resolve: () => void; reject: (why: MqError) => void }[]>();
  #changes: Change[] = [];
  /** Those that could not be written, and may be written later. */
  #undone: Change[] = [];
  #writing: Promise<void> | undefined;
  #messages: Message[] = [];
  #takers: Taker[] = [];
  /** Posts of an earlier client that are settled, and nobody was told. */
  #untold: [number, Receipt | MqError][] = [];
  #login: Login;
  #lastLost: unknown;
  #closing: Promise<void> | undefined;
  /** Called when the link that is being closed is. */
  #closed = ignore;
  #finished: Promise<void> | undefined;
  readonly #release: () => void;
  /** Resolves at the first login, rejects if there is none. */
  readonly #ready: Promise<void>;
  #isReady: { resolve: () => void; reject: (why: MqError) => void } = { resolve: ignore, reject: ignore };

  private constructor(
    url: string, options: Options, platform: Platform, session: Session, maxMessage: number,
    store: Store | undefined, release: () => void,
  ) {
    this.#url = url;
    this.#options = options;
    this.#platform = platform;
    this.#session = session;
    this.#maxMessage = maxMessage;
    this.#store = store;
    this.#release = release;
    this.#login = { version: 1, window: 1 };
    this.#ready = new Promise((resolve, reject) => (this.#isReady = { resolve, reject }));
    this.#ready.catch(ignore);
  }

  /** Connects on `platform`, with the outbox `store` if there is one; calls `release` when it is over. */
  static async start(
    url: string, options: Options, platform: Platform, store?: Store, release: () => void = ignore,
  ): Promise<Client> {
    try {
      checkUrl(url);
      const { user, node } = options;
      if (typeof user !== 'string' || typeof node !== 'string') throw new ArgumentError('no user, or no node');
      const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
      const config: SessionConfig = { ...DEFAULTS, ...given, user, node, outbox: !!store, memory: !!store };
      const found = await store?.open(ownerOf(user, node));
      const ahead = now() - Date.now();
      const session = new Session(config, now(), {
        lastId: found?.lastId ?? anywhere(Math.random()),
        acked: found?.acked ?? [],
        posts: (found?.posts ?? []).map(({ id, message, deadline }) =>
          ({ id, message, deadline: deadline === undefined ? undefined : deadline + ahead })),
      });
      const client = new Client(url, options, platform, session, config.maxMessage, store, release);
      client.#turn();
      if (!config.beginOffline) await client.#ready;
      return client;
    } catch (error) {
      await store?.close();
      release();
      throw error;
    }
  }

  /** What the server said at the latest login. */
  get login(): Login {
    return this.#login;
  }

  /** What has happened so far. */
  get stats(): Stats {
    const stats = this.#session.stats;
    return { ...stats, unacked: stats.unacked + this.#waiting.length };
  }

  /** Posts `body`, and resolves when the server has it on disk for all its recipients.
   *
   * Bytes are not to be changed until `startPost` would have resolved.
   *
   * Rejects with `RejectedError`, `TooLargeError`, `HeaderTooLongError`, `ArgumentError`, `DiskError`: it was
   * not posted; `DeadlineError`: perhaps; any other says why the client ended: it may have been posted or
   * not, and with an outbox it is kept. Unknown recipients are no error; the receipt names them. */
  async post(to: requests.To, body?: requests.Body, options: PostOptions = {}): Promise<Receipt> {
    return (await this.startPost(to, body, options)).receipt;
  }

  /** As {@link post}, but resolves when the post is in the outbox or, without one, handed over: behind all
   * that was before. */
  async startPost(to: requests.To, body?: requests.Body, options: PostOptions = {}): Promise<Posting> {
    return this.#start(requests.post(to, body, options.etc, options.noNodes), options.deadline);
  }

  /** Posts to the owner of `alias`. Rejects as {@link post}, and with `RejectedError` if nobody has it. */
  async ping(alias: string, body?: requests.Body, options: Omit<PostOptions, 'noNodes'> = {}): Promise<Receipt> {
    return (await this.startPing(alias, body, options)).receipt;
  }

  /** As {@link startPost}, to the owner of `alias`. */
  async startPing(alias: string, body?: requests.Body, options: Omit<PostOptions, 'noNodes'> = {}): Promise<Posting> {
    return this.#start(requests.ping(alias, body, options.etc), options.deadline);
  }

  /** Edits a list, which `add` and `invite` create if there is none: `add` users, with one's own name to
   * accept an invitation; `invite` the owners of aliases, with a message; `remove` users. Several in an
   * array: all or none. Sent again after a lost link, an edit that was done may be rejected for that. */
  async listEdit(
    list: string, edit: requests.ListEdit, members: string | readonly string[], body?: requests.Body,
    options: { etc?: unknown } = {},
  ): Promise<Receipt> {
    return (await this.#start(requests.listEdit(list, edit, members, body, options.etc))).receipt;
  }

  /** Replaces one's own aliases; those that others have are left out. Resolves when the message of it, which
   * all one's nodes get, has come here: that may wait behind messages that are not acked. */
  async setAliases(aliases: readonly string[]): Promise<Receipt> {
    return (await this.#start(requests.aliases(aliases))).receipt;
  }

  /** Removes one's own node of the number `node`, and what waits for it. Needs a server of version 2. */
  async dropNode(node: number): Promise<Receipt> {
    return (await this.#start(requests.dropNode(node))).receipt;
  }

  /** One's own nodes, aliases and lists. Needs a server of version 2. */
  async status(): Promise<Status> {
    const { receipt } = await this.#start(requests.status());
    return (await receipt).etc as Status;
  }

  /** The messages, one by one. Ends when the client is closed, and throws why it ended otherwise. */
  [Symbol.asyncIterator](): AsyncIterator<Message, undefined> {
    return {
      next: () => new Promise((resolve, reject) => {
        const message = this.#messages.shift();
        if (message) return resolve({ value: message, done: false });
        const { phase } = this.#session;
        if (phase.at !== 'ended') return void this.#takers.push({ resolve, reject });
        endTaker({ resolve, reject }, phase.why);
      }),
      return: async () => ({ value: undefined, done: true }),
    };
  }

  /** Calls `listener` when it happens. */
  on<E extends keyof Events>(event: E, listener: Events[E]): this {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    // What came before anybody listened.
    if (event === 'message') for (const message of this.#messages.splice(0)) this.#emit('message', message);
    if (event === 'settled') for (const [id, result] of this.#untold.splice(0)) this.#emit('settled', id, result);
    return this;
  }

  off<E extends keyof Events>(event: E, listener: Events[E]): this {
    this.#listeners.get(event)?.delete(listener);
    return this;
  }

  /** Sends what was handed over, acks included, and ends the connection; waits at most a few seconds for the
   * server. Posts without a receipt reject with `ClosedError`; those in an outbox stay there. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** Ends at once, for the reason given. */
  end(why: MqError): void {
    this.#session.end(why);
    this.#turn();
  }

  /** The network is said to be there again. */
  hurry(): void {
    this.#session.hurry(now());
    this.#schedule();
  }

  #start(request: requests.Request, deadline?: Date | number): Promise<Posting> {
    return new Promise((taken, refused) => {
      const { phase } = this.#session;
      if (phase.at === 'ended' || this.#closing) {
        return refused(phase.at === 'ended' ? phase.why : new ClosedError());
      }
      const inMs = deadline instanceof Date ? deadline.getTime() - Date.now() : deadline;
      if (inMs !== undefined && !Number.isFinite(inMs)) return refused(new ArgumentError('a deadline that is no time'));
      const waiting: Waiting = { request, deadline: inMs === undefined ? undefined : now() + inMs, taken, refused };
      this.#waiting.push(waiting);
      // The session sees to it once it has it.
      if (inMs !== undefined && inMs < LONGEST_TIMER) waiting.timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        refused(new DeadlineError(false));
      }, inMs);
      this.#schedule();
    });
  }

  /** Has the session take what waits, as far as it has room; or, at the end, all of it. */
  #fill(all = false): void {
    let count = 0;
    for (; count < this.#waiting.length && (all || this.#session.hasRoom()); count++) {
      const { request, deadline, taken, refused, timer } = this.#waiting[count]!;
      clearTimeout(timer);
      try {
        const id = this.#session.submit(now(), request, deadline);
        let settle: Settling['settle'] = ignore;
        const receipt = new Promise<Receipt>((resolve, reject) => {
          settle = (result) => (result instanceof MqError ? reject(result) : resolve(result));
        });
        receipt.catch(ignore);
        const posting = { id, receipt };
        const stored = this.#store && (request.kind === 'post' || request.kind === 'ping');
        const kept = stored ? (why?: MqError) => (why ? refused(why) : taken(posting)) : undefined;
        if (!stored) taken(posting);
        this.#settling.set(id, { settle, kept });
      } catch (error) {
        refused(error as MqError);
      }
    }
    this.#waiting.splice(0, count);
  }

  /** Everything that is to be done after something happened. */
  #turn(): void {
    this.#scheduled = false;
    if (this.#finished) return;
    // The timer may be a little late, and what is too late is not to be sent.
    this.#timeOut();
    this.#tell();
    this.#fill();
    this.#tell();
    this.#pave();
    this.#write();
    this.#wind();
    if (this.#session.phase.at === 'ended') this.#finished = this.#finish(this.#session.phase.why);
  }

  #timeOut(): void {
    this.#look();
    const at = now();
    if ((this.#session.nextTimeout() ?? Infinity) <= at) this.#session.timedOut(at, Math.random());
  }

  #schedule(): void {
    if (this.#scheduled || this.#finished) return;
    this.#scheduled = true;
    this.#platform.soon(() => this.#scheduled && this.#turn());
  }

  /** Passes on what the session has to say. */
  #tell(): void {
    for (const event of this.#session.takeEvents()) {
      switch (event.type) {
        case 'loggedIn':
          this.#login = event.login;
          this.#isReady.resolve();
          this.#emit('online', event.login);
          break;
        case 'settled': {
          const settling = this.#settling.get(event.id);
          this.#settling.delete(event.id);
          // Refused by the disk, or too late before it was there.
          if (event.result instanceof MqError) settling?.kept?.(event.result);
          if (settling) settling.settle(event.result);
          else if (this.#listeners.get('settled')?.size) this.#emit('settled', event.id, event.result);
          else this.#untold.push([event.id, event.result]);
          break;
        }
        case 'letter':
          this.#deliver(new Message(event.letter, this.#desk));
          break;
        case 'ping':
          if (!this.#link?.ping()) this.#session.cannotPing();
          break;
        case 'keep': {
          const { id, message } = event;
          const deadline = event.deadline === undefined ? undefined : Math.ceil(event.deadline - now() + Date.now());
          this.#change({ type: 'keep', post: { id, message, ...(deadline !== undefined && { deadline }) } });
          break;
        }
        case 'discard':
        case 'remember':
          this.#change(event);
      }
    }
    const { lastLost } = this.#session;
    if (lastLost && lastLost !== this.#lastLost) {
      this.#lastLost = lastLost;
      this.#emit('offline', lastLost.why);
    }
  }

  #deliver(message: Message): void {
    if (this.#listeners.get('message')?.size) return this.#emit('message', message);
    const taker = this.#takers.shift();
    if (taker) taker.resolve({ value: message, done: false });
    else this.#messages.push(message);
  }

  readonly #desk = {
    ack: (id: string): Promise<void> => {
      const acked = new Promise<void>((resolve, reject) => {
        const { phase } = this.#session;
        const waiting = this.#acking.get(id);
        if (phase.at === 'ended') reject(phase.why);
        else if (waiting) waiting.push({ resolve, reject });
        else if (this.#session.ack(id)) this.#acking.set(id, [{ resolve, reject }]);
        else resolve();
      });
      acked.catch(ignore);
      this.#schedule();
      return acked;
    },
    release: (id: string): void => this.#session.release(id),
  };

  #change(change: Change): void {
    this.#changes.push(change);
    this.#writing ??= this.#writeOut(this.#store!);
  }

  /** Writes what is to be on disk, all that gathered at once. */
  async #writeOut(store: Store): Promise<void> {
    await undefined;
    while (this.#changes.length) {
      const batch = [...this.#undone.splice(0), ...this.#changes.splice(0)];
      try {
        await store.write(batch);
        for (const change of batch) this.#written(change);
      } catch (error) {
        // What there is no room for is not to take the others with it.
        if (batch.length === 1) this.#written(batch[0]!, error as MqError);
        else for (const change of batch) await store.write([change]).then(
          () => this.#written(change), (error: MqError) => this.#written(change, error));
      }
      this.#schedule();
    }
    this.#writing = undefined;
  }

  #written(change: Change, why?: MqError): void {
    if (change.type === 'keep') {
      const { id } = change.post;
      const settling = this.#settling.get(id);
      settling?.kept?.(why);
      if (settling) settling.kept = undefined;
      this.#session.kept(id, why);
    } else if (change.type === 'remember') {
      // What cannot be remembered is acked all the same: else it would come again, and again.
      this.#session.remembered(change.id);
      for (const { resolve, reject } of this.#acking.get(change.id) ?? []) why ? reject(why) : resolve();
      this.#acking.delete(change.id);
    } else if (why) {
      // Sent again after a restart it would be acked as before; it goes with what is written next.
      this.#undone.push(change);
    }
  }

  /** Makes the link what the phase asks for. */
  #pave(): void {
    const { at } = this.#session.phase;
    if (at === 'connecting' && !this.#link && !this.#closing) {
      const mine = (run: () => void): void => {
        if (this.#link !== link) return;
        run();
        this.#schedule();
      };
      let link: Link | undefined;
      try {
        link = this.#platform.dial(this.#url, this.#options, this.#maxMessage + MAX_HEADER + 4, {
          open: () => mine(() => this.#session.connected(now())),
          message: (bytes) => mine(() => {
            this.#session.heard(now());
            this.#session.received(now(), bytes, Math.random());
          }),
          heard: () => mine(() => this.#session.heard(now())),
          closed: (why) => mine(() => {
            this.#link = undefined;
            if (this.#closing) this.#closed();
            // A message waits that we do not take: it would come again, and again.
            else if (why.code === 'TooLarge') this.#session.end(why);
            else this.#session.lost(now(), why, Math.random());
          }),
        });
        this.#link = link;
        this.#buffered = 0;
      } catch (error) {
        // The URL or the certificates are no good, and will not get better.
        this.#session.end(error as MqError);
        this.#tell();
      }
    } else if ((at === 'pause' || at === 'ended') && this.#link) {
      const link = this.#link;
      this.#link = undefined;
      link.drop();
    }
  }

  /** Gives the link what it has room for. */
  #write(): void {
    if (!this.#link) return;
    this.#look();
    while (this.#link.buffered < HIGH_WATER) {
      const message = this.#session.pollTransmit(now());
      if (!message) break;
      this.#link.send(message);
    }
    this.#buffered = this.#link.buffered;
  }

  /** Has the peer taken anything since this was last asked? */
  #look(): void {
    if (this.#link && this.#link.buffered < this.#buffered) {
      this.#buffered = this.#link.buffered;
      this.#session.heard(now());
    }
  }

  /** Winds the clock. */
  #wind(): void {
    clearTimeout(this.#timer);
    let wait = (this.#session.nextTimeout() ?? Infinity) - now();
    if (this.#buffered >= HIGH_WATER) wait = Math.min(wait, DRAIN);
    if (wait === Infinity) return;
    this.#timer = setTimeout(() => this.#turn(), Math.min(Math.max(Math.ceil(wait), 0), LONGEST_TIMER));
  }

  async #close(): Promise<void> {
    if (!this.#finished) {
      this.#fill(true);
      this.#turn();
      while (this.#writing) await this.#writing;
      this.#turn();
      const until = now() + CLOSE_WAIT;
      while (this.#link?.buffered && now() < until) {
        await pause(DRAIN);
        this.#turn();
      }
      const link = this.#link;
      if (link && this.#session.phase.at !== 'ended') {
        const closed = new Promise<void>((resolve) => (this.#closed = resolve));
        link.close();
        let timer;
        await Promise.race([closed, new Promise((resolve) => (timer = setTimeout(resolve, CLOSE_WAIT)))]);
        clearTimeout(timer);
      }
      this.#session.end(new ClosedError());
      this.#turn();
    }
    await this.#finished;
  }

  /** Tells everybody that it is over. */
  async #finish(why: MqError): Promise<void> {
    clearTimeout(this.#timer);
    for (const { refused, timer } of this.#waiting.splice(0)) clearTimeout(timer), refused(why);
    for (const taker of this.#takers.splice(0)) endTaker(taker, why);
    this.#isReady.reject(why);
    if (why instanceof ClosedError) this.#emit('close');
    else this.#emit('error', why);
    while (this.#writing) await this.#writing;
    await this.#store?.close();
    this.#release();
  }

  #emit<E extends keyof Events>(event: E, ...args: Parameters<Events[E]>): void {
    for (const listener of this.#listeners.get(event) ?? []) {
      try {
        listener(...args);
      } catch (error) {
        // The listener's, and not to end what goes on here.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function endTaker({ resolve, reject }: Taker, why: MqError): void {
  if (why instanceof ClosedError) resolve({ value: undefined, done: true });
  else reject(why);
}

/** Throws an `AddressError` if `url` is none of a WebSocket server. */
export function checkUrl(url: string): void {
  if (!/^wss?:\/\/[^\s/?#@:]+(:\d+)?([/?][^#]*)?$|^wss?:\/\/\[[\da-f:]+\](:\d+)?([/?][^#]*)?$/i.test(url)) throw new AddressError(url);
}

/** A text that names a node, and does not tell its name. */
export function ownerOf(user: string, node: string): string {
  let hash = 0;
  // A prime for which a step is exact in a float.
  for (const byte of utf8(JSON.stringify([user, node]))) hash = (hash * 33 + byte) % 140_737_488_355_213;
  return `${user} ${hash.toString(36)}`;
}
