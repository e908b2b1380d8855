/** The protocol without I/O and clock: what is unacked, what to send next, when to give up and try again.
 *
 * The shell tells it what happened (`connected`, `received`, `lost`, `timedOut`) and what the application
 * wants (`submit`, `ack`), always with the time in milliseconds; it then takes what is to be sent
 * (`pollTransmit`) and what is to be told or put on disk (`pollEvent`), and asks again at `nextTimeout`.
 *
 * Nothing is sent that is to be on disk first: a post waits for `kept`, an ack for `remembered`.
 *
 * It is the Rust client's session; both run the scripts in `mqclient/vectors`.
 */

import {
  ArgumentError, DeadlineError, HeaderTooLongError, LostError, MqError, ProtocolError, RefusedError, RejectedError,
  TooLargeError,
} from './errors.js';
import { Inbox, type Letter } from './inbox.js';
import { quitError, verdict } from './quits.js';
import * as requests from './request.js';
import { type Entry, Unacked } from './unacked.js';
import { etcValue, failedOf, parse, type Reply } from './wire.js';

/** After such a silence an idle link is pinged, so that a dead one is noticed, in ms. */
const PING_AFTER = 30_000;
/** How many ids a session has for its posts before it meets those of another. */
export const IDS = 2 ** 20;

/** What a session is to know. Times are in ms. */
export interface SessionConfig {
  user: string;
  node: string;
  version: 1 | 2;
  window: number;
  takeover: boolean;
  maxUnacked: number;
  maxUnackedBytes: number;
  maxMessage: number;
  loginTimeout: number;
  answerTimeout: number;
  minPause: number;
  maxPause: number;
  /** Are posts kept on disk? */
  outbox: boolean;
  /** Are acked ids remembered on disk? */
  memory: boolean;
  /** Is a first attempt that fails repeated as later ones are? */
  beginOffline: boolean;
}

export const DEFAULTS: Omit<SessionConfig, 'user' | 'node'> = {
  version: 2,
  window: 100,
  takeover: false,
  maxUnacked: 1024,
  maxUnackedBytes: 64 << 20,
  maxMessage: 16 << 20,
  loginTimeout: 10_000,
  answerTimeout: 60_000,
  minPause: 100,
  maxPause: 5_000,
  outbox: false,
  memory: false,
  beginOffline: false,
};

/** The server's answer to the latest login. */
export interface Login {
  /** What is spoken: version 1 if the server knows no other. It says nothing of itself then. */
  version: 1 | 2;
  /** The server's name and version, for people to read. */
  server?: string;
  /** The number of this node among its user's. */
  node?: number;
  /** How many deliveries there may be that are not acked. The server may stop earlier, when they are large. */
  window: number;
  /** How many messages waited for this node, about. */
  queued?: number;
  /** The largest message that the server takes, in bytes, its header included. */
  maxMessage?: number;
  /** The server's clock, in ISO 8601 with milliseconds, in UTC. */
  time?: string;
}

/** The server's ack: the request is done and stored. */
export interface Receipt {
  /** Recipients that the message did not reach, a line each, such as `userId unknown`; the others have it. */
  warnings: string[];
  /** The same recipients by name, each with the reason. Empty in version 1. */
  failed: Record<string, string>;
  /** The message's id, as its recipients see it. None in version 1, and if nobody gets it. */
  msgid?: string;
  /** When the server took it, in ISO 8601, where there is a `msgid`. */
  posted?: string;
  /** The server had it already: an earlier ack was lost on its way. It is stored once. */
  dup: boolean;
  /** What a `status` asked for. */
  etc?: unknown;
}

/** What has happened to the client so far. */
export interface Stats {
  /** Is the client logged in at this moment? */
  online: boolean;
  /** Logins after the first. */
  reconnects: number;
  /** Requests sent again after a reconnect. */
  resent: number;
  /** Deliveries that came again and were not shown again. */
  redelivered: number;
  /** Requests that wait for their ack. */
  unacked: number;
}

/** Where the client stands with its link. */
export type Phase =
  | { at: 'pause' | 'connecting' | 'loggingIn'; until: number }
  | { at: 'online' }
  | { at: 'ended'; why: MqError };

/** What the shell passes on, or puts on disk. */
export type Event =
  | { type: 'loggedIn'; login: Login }
  | { type: 'settled'; id: number; result: Receipt | MqError }
  | { type: 'letter'; letter: Letter }
  /** The peer is to be pinged, if it can be. */
  | { type: 'ping' }
  /** A post is to be put in the outbox on disk; {@link Session.kept} answers. */
  | { type: 'keep'; id: number; message: Uint8Array; deadline: number | undefined }
  /** A post is to go from there: it is settled. */
  | { type: 'discard'; id: number }
  /** The id of a message that the application acked is to be remembered on disk; {@link Session.remembered}
   * answers. */
  | { type: 'remember'; id: string };

/** What an earlier session left on disk. */
export interface Saved {
  /** No id of a post up to here is used again: the server would take it for a repeat. */
  lastId: number;
  /** The posts that are not acked, in the order of their ids; deadlines on this session's clock. */
  posts: { id: number; message: Uint8Array; deadline?: number | undefined }[];
  /** The ids of the messages acked lately, the latest last. */
  acked: string[];
}

/** The end of a range of ids that most likely no other session had; `random` is from 0 to 1. */
export const anywhere = (random: number): number => Math.floor(random * 0xffffffff) * IDS;

export class Session {
  #config: SessionConfig;
  #phase: Phase;
  /** Attempts since the last login that succeeded. */
  #attempts = 0;
  #wasOnline = false;
  /** The message, until it is sent. */
  #login: Uint8Array | undefined;
  /** The answer to the latest one. */
  #peer: Login;
  #unacked: Unacked;
  #inbox: Inbox;
  #events: Event[] = [];
  /** When the peer last gave a sign of life, or when we began to wait for one. */
  #heard: number;
  #pinged = false;
  #reconnects = 0;
  #resent = 0;
  /** Why the link was lost the last time, or an attempt failed; another object each time. */
  lastLost: { why: MqError } | undefined;

  /** A session that begins to connect, with what an earlier one left. */
  constructor(config: SessionConfig, now: number, saved: Saved) {
    this.#config = config;
    this.#phase = { at: 'connecting', until: now + config.loginTimeout };
    this.#peer = this.#asked();
    this.#unacked = new Unacked(saved.lastId);
    for (const { id, message, deadline } of saved.posts) this.#unacked.restore(id, message, deadline);
    this.#inbox = new Inbox(config.window);
    for (const id of saved.acked) this.#inbox.ack(id, false);
    this.#heard = now;
  }

  get phase(): Phase {
    return this.#phase;
  }

  get stats(): Stats {
    return {
      online: this.#phase.at === 'online',
      reconnects: this.#reconnects,
      resent: this.#resent,
      redelivered: this.#inbox.redelivered,
      unacked: this.#unacked.size,
    };
  }

  /** May a further request be submitted? */
  hasRoom(): boolean {
    const { maxUnacked, maxUnackedBytes } = this.#config;
    return this.#unacked.size < Math.max(maxUnacked, 1) && this.#unacked.bytes < maxUnackedBytes;
  }

  /** Takes a request, now or for when the link stands; the id names it in the event `settled`. If it is not
   * acked by `deadline`, it is given up. Throws an {@link MqError} if it is not taken. */
  submit(now: number, request: requests.Request, deadline?: number): number {
    if (this.#phase.at === 'ended') throw this.#phase.why;
    if (deadline !== undefined && deadline <= now) throw new DeadlineError(false);
    const id = this.#unacked.lastId + 1;
    const message = request.encode(String(id), this.#config.user);
    if (!message) throw new HeaderTooLongError();
    const unfit = this.#check(message.length, request.needsV2);
    if (unfit) throw unfit;
    // What the server knows again is worth keeping: edits of lists and aliases it does not.
    const stored = this.#config.outbox && (request.kind === 'post' || request.kind === 'ping');
    if (stored) this.#events.push({ type: 'keep', id, message, deadline });
    this.#unacked.push(message, request, stored, deadline);
    return id;
  }

  /** A post is in the outbox on disk, and is sent now; or it is not, and is refused for `why`. */
  kept(id: number, why?: MqError): void {
    if (!why) this.#unacked.makeReady(id);
    else if (this.#unacked.settle(id)) this.#events.push({ type: 'settled', id, result: why });
  }

  /** The application is done with a message. True if that is to be remembered on disk first. */
  ack(id: string): boolean {
    if (!this.#config.memory) this.#inbox.ack(id, this.#phase.at === 'online');
    else if (this.#inbox.remember(id)) return this.#events.push({ type: 'remember', id }) > 0;
    return false;
  }

  /** The id of an acked message is on disk, or cannot be put there; the server may hear of it. */
  remembered(id: string): void {
    this.#inbox.ack(id, this.#phase.at === 'online');
  }

  /** The application dropped a message unread: when it comes again, it is shown again. */
  release(id: string): void {
    this.#inbox.release(id);
  }

  /** The shell has made the link. */
  connected(now: number): void {
    if (this.#phase.at !== 'connecting') return;
    const { user, node, takeover } = this.#config;
    const { version, window } = this.#asked();
    this.#login = requests.login(user, node, version === 2 ? window : undefined, takeover);
    if (!this.#login) return this.end(new ArgumentError('names of more than 65,000 bytes'));
    this.#phase = { at: 'loggingIn', until: this.#phase.until };
    this.heard(now);
  }

  /** The peer gave a sign of life: it sent something, or took something that we sent. */
  heard(now: number): void {
    this.#heard = now;
    this.#pinged = false;
  }

  /** A whole message arrived. `random` is from 0 to 1, for the pause that may follow. */
  received(now: number, message: Uint8Array, random: number): void {
    let reply;
    try {
      reply = parse(message);
    } catch (error) {
      return this.lost(now, error as MqError, random);
    }
    const { op } = reply;
    const { at } = this.#phase;
    if (op === 'quit') return this.#quit(now, reply.info ?? '', random);
    if (at === 'loggingIn') {
      if (op === 'info') return this.#loggedIn(reply);
      return this.lost(now, new ProtocolError(`"${op}" in answer to login`), random);
    }
    if (at !== 'online') return;
    if (op === 'ack' || op === 'status') {
      this.#acked(reply);
    } else if (op === 'registered' && reply.id == null) {
      const taken = this.#unacked.settleAliases();
      if (taken) this.#settled(taken, new RejectedError(reply.error ?? ''));
    } else if (op === 'deliver' || op === 'registered' || op === 'listEdited') {
      this.#delivered(now, reply, random);
    }
    // Else what a later server may say to older clients.
  }

  /** The link is gone, or never came to be. */
  lost(now: number, why: MqError, random: number): void {
    if (this.#phase.at === 'ended' || this.#phase.at === 'pause') return;
    if (!this.#isPatient()) return this.end(why);
    this.#login = undefined;
    this.#inbox.disconnected();
    this.#resent += this.#unacked.sendAgain();
    this.#phase = { at: 'pause', until: now + this.#pause(random) };
    this.#attempts++;
    this.lastLost = { why };
  }

  /** The network is said to be there again: the pause ends. */
  hurry(now: number): void {
    if (this.#phase.at === 'pause') this.#phase.until = now;
  }

  /** `nextTimeout` has come. */
  timedOut(now: number, random: number): void {
    for (let late; (late = this.#unacked.takeLate(now));) this.#settled(late, new DeadlineError(late.attempted));
    const step = this.#nextStep();
    if (step === undefined || step > now) return;
    switch (this.#phase.at) {
      case 'pause':
        this.#phase = { at: 'connecting', until: now + this.#config.loginTimeout };
        break;
      case 'connecting':
        this.lost(now, new LostError('no connection in time'), random);
        break;
      case 'loggingIn':
        this.lost(now, new LostError('no answer to login in time'), random);
        break;
      case 'online':
        if (this.#expectsAnswer()) return this.lost(now, new LostError('the server is silent'), random);
        this.#pinged = true;
        this.#heard = now;
        this.#events.push({ type: 'ping' });
    }
  }

  /** The link has no pings, so none will be answered. */
  cannotPing(): void {
    this.#pinged = false;
  }

  /** When to call `timedOut`. */
  nextTimeout(): number | undefined {
    const [step, deadline] = [this.#nextStep(), this.#unacked.deadline];
    return step === undefined || deadline === undefined ? step ?? deadline : Math.min(step, deadline);
  }

  /** When the phase has lasted too long. */
  #nextStep(): number | undefined {
    switch (this.#phase.at) {
      case 'ended':
        return undefined;
      case 'online':
        return this.#heard + (this.#expectsAnswer() ? this.#config.answerTimeout : PING_AFTER);
      default:
        return this.#phase.until;
    }
  }

  /** The next message to send on the link that stands. */
  pollTransmit(now: number): Uint8Array | undefined {
    if (this.#phase.at === 'loggingIn') {
      const login = this.#login;
      this.#login = undefined;
      return login;
    }
    if (this.#phase.at !== 'online') return undefined;
    const ack = this.#inbox.pollAck(this.#peer.version);
    if (ack) return ack;
    // What is late is not sent any more: first the timeout, which is due.
    const deadline = this.#unacked.deadline;
    if (deadline !== undefined && deadline <= now) return undefined;
    const expected = this.#expectsAnswer();
    const message = this.#unacked.pollTransmit();
    // From here on we wait.
    if (message && !expected) this.#heard = now;
    return message;
  }

  /** The next things to tell. */
  takeEvents(): Event[] {
    const events = this.#events;
    if (events.length) this.#events = [];
    return events;
  }

  /** Ends the client; what is unacked fails with `why`, and what is in the outbox stays there. */
  end(why: MqError): void {
    if (this.#phase.at === 'ended') return;
    for (const { id } of this.#unacked.clear()) this.#events.push({ type: 'settled', id, result: why });
    this.#phase = { at: 'ended', why };
  }

  /** What is taken for granted until the server answers. */
  #asked(): Login {
    const { version, window } = this.#config;
    return version === 1 ? { version, window: 1 } : { version, window: Math.max(window, 1) };
  }

  /** Why the server would not take a request of `size` bytes. */
  #check(size: number, needsV2: boolean): MqError | undefined {
    const most = Math.min(this.#config.maxMessage, this.#peer.maxMessage ?? Infinity);
    if (size > most) return new TooLargeError(String(most));
    if (needsV2 && this.#peer.version === 1) return new ArgumentError('a request of version 2, in version 1');
    return undefined;
  }

  #loggedIn({ v, server, node, window, queued, maxMessage, time }: Reply): void {
    if (this.#wasOnline) this.#reconnects++;
    this.#wasOnline = true;
    this.#attempts = 0;
    this.#phase = { at: 'online' };
    const login: Login = !v || v < 2
      ? { version: 1, window: 1 }
      : { version: 2, server, node, window: window ?? this.#asked().window, queued, maxMessage, time };
    this.#peer = login;
    this.#events.push({ type: 'loggedIn', login });
    // What waited while the link was down may have been meant for another kind of server.
    const unfit = this.#unacked.takeUnfit(({ message, needsV2 }) => this.#check(message.length, needsV2));
    for (const [taken, why] of unfit) this.#settled(taken, why);
  }

  /** A request is taken out, and this became of it. */
  #settled({ id, stored }: Entry, result: Receipt | MqError): void {
    if (stored) this.#events.push({ type: 'discard', id });
    this.#events.push({ type: 'settled', id, result });
  }

  /** Is what fails tried again? */
  #isPatient(): boolean {
    return this.#wasOnline || this.#config.beginOffline;
  }

  #expectsAnswer(): boolean {
    return this.#pinged || this.#unacked.expectsAck();
  }

  /** Half of the full pause, and a random part of the other half: clients that lost the same server do not
   * all come back at once. */
  #pause(random: number): number {
    const half = Math.min(this.#config.minPause * 2 ** Math.min(this.#attempts, 16), this.#config.maxPause) / 2;
    return Math.floor(half + half * random);
  }

  #quit(now: number, text: string, random: number): void {
    const [what, why] = verdict(text, this.#isPatient());
    if (what === 'again') return this.lost(now, why, random);
    if (what === 'end') return this.end(why);
    if (what === 'large') {
      // Of what was sent, the largest is surely too large; what else is, the server will say.
      const taken = this.#unacked.takeLargestSent();
      if (!taken) return this.end(new RefusedError(text));
      this.#settled(taken, new TooLargeError(String(Math.max(taken.message.length - 1, 0))));
      return this.lost(now, new LostError(text), random);
    }
    // An older server does not know the latest requests, and is told no more of them.
    const unknown = this.#unacked.takeUnfit(({ attempted, kind }) =>
      attempted && (kind === 'status' || kind === 'dropNode') ? new RejectedError(text) : undefined);
    if (!unknown.length) return this.end(quitError(text));
    for (const [taken, error] of unknown) this.#settled(taken, error);
    this.lost(now, new LostError(text), random);
  }

  #acked(reply: Reply): void {
    const { id, type, msgid, posted, dup } = reply;
    const error = reply.error ?? '';
    // An id that is not ours, or the second ack of a post sent twice.
    const taken = id && /^\d+$/.test(id) && this.#unacked.settle(Number(id));
    if (!taken) return;
    if (reply.op === 'ack' && type !== 'ok') return this.#settled(taken, new RejectedError(error));
    const warnings = error.split('\n').filter((line) => line);
    const receipt: Receipt = { warnings, failed: failedOf(reply), dup, msgid, posted };
    if (reply.op === 'status') receipt.etc = etcValue(reply);
    this.#settled(taken, receipt);
  }

  #delivered(now: number, reply: Reply, random: number): void {
    if (reply.op === 'registered' && reply.from === this.#config.user) {
      const taken = this.#unacked.settleAliases();
      if (taken) this.#settled(taken, { warnings: [], failed: {}, dup: false });
    }
    try {
      const letter = this.#inbox.receive(reply);
      if (letter) this.#events.push({ type: 'letter', letter });
    } catch (error) {
      this.lost(now, error as MqError, random);
    }
  }
}
