/** Requests of strangers: a user or a node is created over a connection that ends with the answer. */

import { checkUrl } from './client.js';
import {
  ArgumentError, HeaderTooLongError, LostError, type MqError, NodeUnknownError, ProtocolError, RejectedError,
  UserExistsError, UserUnknownError,
} from './errors.js';
import type { Dial, Link, Tls } from './link.js';
import { quitError } from './quits.js';
import * as requests from './request.js';
import { DEFAULTS } from './session.js';
import { etcValue, parse, type Reply } from './wire.js';

/** For connecting, asking and the answer, in ms: the server stores the user or node before that. */
const PATIENCE = 10_000;

/** A user to be created. */
export interface Registration extends Tls {
  user: string;
  /** The first node's name, its password from then on; without one the server issues one. */
  node?: string;
  /** The aliases that the user is to have, as far as they are free. */
  aliases?: readonly string[];
  /** The token of an invitation, for a server that asks for one. */
  invite?: string;
}

/** A user was created. */
export interface Registered {
  /** The first node's name. If the server issued it, this is the one time that it is told. */
  node: string;
  /** Of the aliases asked for, those that were free. */
  aliases: string[];
}

/** A node to be added. */
export interface Addition extends Tls {
  user: string;
  /** The new node's name; without one the server issues one. */
  node?: string;
  /** The name of a node that the user has. */
  prev: string;
}

/** A node was added. */
export interface Added {
  /** Its name. If the server issued it, this is the one time that it is told. */
  node: string;
  /** Its number among its user's. */
  offset: number;
}

/** Creates a user with one node. */
export async function register(dial: Dial, url: string, wanted: Registration): Promise<Registered> {
  const { user, node, aliases = [], invite } = wanted;
  if (node === '') throw new ArgumentError('an empty name of a node');
  const reply = await ask(dial, url, wanted, requests.register(user, node, aliases.join(' '), invite));
  if (reply.op === 'registered' && reply.error === 'user exists') throw new UserExistsError();
  if (reply.op !== 'registered' || reply.error !== undefined) throw refusal(reply, 'registered');
  const accepted = reply.etc === undefined ? '' : etcValue(reply);
  if (typeof accepted !== 'string') throw new ProtocolError('aliases that are no text');
  return { node: nameOf(node, reply), aliases: accepted.split(/\s+/).filter((alias) => alias) };
}

/** Adds a node; what waits for `prev` will be delivered to it too. One that was added before keeps its number. */
export async function addNode(dial: Dial, url: string, wanted: Addition): Promise<Added> {
  const { user, node, prev } = wanted;
  if (node === '') throw new ArgumentError('an empty name of a node');
  const reply = await ask(dial, url, wanted, requests.addNode(user, node, prev));
  const { op, error, offset } = reply;
  if (op === 'added') {
    // Added before, so asking twice does no harm.
    if ((error === undefined || error === 'new nodename exists') && offset !== undefined) {
      return { node: nameOf(node, reply), offset };
    }
    if (error === 'userId unknown') throw new UserUnknownError();
    if (error === 'nodeId unknown' || error === 'prev nodename invalid') throw new NodeUnknownError();
  }
  throw refusal(reply, 'added');
}

function nameOf(given: string | undefined, { nodeId }: Reply): string {
  const name = given ?? nodeId;
  if (name === undefined) throw new ProtocolError('a node without a name');
  return name;
}

function refusal({ op, info, error }: Reply, expected: string): MqError {
  if (op === 'quit') return quitError(info ?? '');
  if (op === expected && error !== undefined) return new RejectedError(error);
  return new ProtocolError(`"${op}" instead of "${expected}"`);
}

function ask(dial: Dial, url: string, tls: Tls, request: Uint8Array | undefined): Promise<Reply> {
  let link: Link | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const answered = new Promise<Reply>((resolve, reject) => {
    checkUrl(url);
    if (!request) throw new HeaderTooLongError();
    timer = setTimeout(() => reject(new LostError('no answer in time')), PATIENCE);
    link = dial(url, tls, DEFAULTS.maxMessage, {
      open: () => link?.send(request),
      message: (bytes) => {
        try {
          resolve(parse(bytes));
        } catch (error) {
          reject(error);
        }
      },
      heard() {},
      closed: reject,
    });
  });
  return answered.finally(() => {
    clearTimeout(timer);
    link?.close();
  });
}
