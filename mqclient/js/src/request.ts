/** The requests, from this side: each header's fields in the original's order, then ours. */

import { ArgumentError } from './errors.js';
import { ascii, message, utf8 } from './wire.js';

/** How a recipient is meant: 0 one node of a user, whichever takes it first; 1 all nodes of a user; 2 the
 * members of a list except oneself; 3 the members of a list, oneself included. `true` is 1. */
export type RecipientType = 0 | 1 | 2 | 3 | true;

/** The recipients of a post: a user; `@` and the name of a list; several of these; or each name with its
 * type, which also is how a user whose name begins with `@` is named. */
export type To = string | readonly string[] | Readonly<Record<string, RecipientType>>;

/** What is posted: bytes, or text, which is sent as UTF-8. */
export type Body = string | Uint8Array | ArrayBuffer;

/** A request that the server answers or confirms, before it has its id. */
export interface Request {
  kind: 'post' | 'ping' | 'listEdit' | 'aliases' | 'dropNode' | 'status';
  /** Is there no such request in version 1? */
  needsV2: boolean;
  /** The bytes for the wire; undefined if the header is too long. */
  encode(id: string, user: string): Uint8Array | undefined;
}

const compact = (fields: object): string => ascii(JSON.stringify(fields));

const bytes = (body: Body | undefined): Uint8Array | undefined => {
  if (body === undefined || body instanceof Uint8Array) return body;
  if (typeof body === 'string') return utf8(body);
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  throw new ArgumentError('a body that is neither text nor bytes');
};

const json = (etc: unknown): Uint8Array | undefined => {
  if (etc === undefined) return undefined;
  let written;
  try {
    written = JSON.stringify(etc);
  } catch {
    // Told below: a cycle, or a BigInt.
  }
  if (written === undefined) throw new ArgumentError('an etc that JSON cannot say');
  return utf8(written);
};

/** Names with their types, as on the wire. */
function recipients(to: To): object {
  if (typeof to === 'string') to = [to];
  const pairs: (readonly [string, unknown])[] = Array.isArray(to)
    ? to.map((name: string) => (name[0] === '@' ? [name.slice(1), 2] : [name, 1]))
    : Object.entries(to);
  return Object.fromEntries(pairs.map(([name, type]) => {
    if (![0, 1, 2, 3, true].includes(type as number)) throw new ArgumentError(`a recipient of type ${type}`);
    return [name, Number(type)];
  }));
}

function request(
  kind: Request['kind'], fields: object, body?: Body, etc?: unknown, needsV2 = false,
): Request {
  const [etcBytes, data] = [json(etc), bytes(body)];
  return {
    kind,
    needsV2,
    encode: (id) => message(compact({ op: kind, id, ...fields, etc: etcBytes?.length }), etcBytes, data),
  };
}

export const post = (to: To, body?: Body, etc?: unknown, noNodes?: boolean): Request =>
  request('post', { to: recipients(to), noNodes: noNodes || undefined }, body, etc);

export const ping = (alias: string, body?: Body, etc?: unknown): Request => request('ping', { alias }, body, etc);

/** An edit of a list. */
export type ListEdit = 'add' | 'invite' | 'remove';

export function listEdit(
  to: string, type: ListEdit, names: string | readonly string[], body?: Body, etc?: unknown,
): Request {
  const members: readonly string[] = typeof names === 'string' ? [names] : names;
  if (!members.length) throw new ArgumentError('no members');
  const several = members.length > 1;
  return request('listEdit', { to, type, ...(several ? { members } : { member: members[0] }) }, body, etc, several);
}

export function aliases(names: readonly string[]): Request {
  const joined = names.join(' ');
  if (!joined.trim()) throw new ArgumentError('no aliases');
  return {
    kind: 'aliases',
    needsV2: false,
    encode: (_id, user) => register(user, '', joined),
  };
}

export const dropNode = (node: number): Request => request('dropNode', { node }, undefined, undefined, true);

export const status = (): Request => request('status', {}, undefined, undefined, true);

/** Without a node's name the server is asked for one. */
export const register = (
  userId: string, node: string | undefined, names: string, invite?: string,
): Uint8Array | undefined =>
  message(compact({
    op: 'register', userId, newNode: node ?? '', aliases: names, v: node === undefined ? 2 : undefined, invite,
  }));

/** Without the new node's name the server is asked for one. */
export const addNode = (userId: string, newNode: string | undefined, prevNode: string): Uint8Array | undefined =>
  message(compact({
    op: 'addNode', userId, newNode: newNode ?? '', prevNode, v: newNode === undefined ? 2 : undefined,
  }));

/** In version 2 with the deliveries that may be in flight, and whether a link that holds the node is to
 * make way. */
export const login = (
  userId: string, nodeId: string, window: number | undefined, takeover: boolean,
): Uint8Array | undefined =>
  message(compact({
    op: 'login', userId, nodeId, v: window === undefined ? undefined : 2, window,
    takeover: (takeover && window !== undefined) || undefined,
  }));

/** Tells the server that delivered messages may go; version 1 takes only one at a time. Undefined if the
 * header does not hold them. */
export const ack = (ids: readonly string[], version: number): Uint8Array | undefined =>
  message(compact(version === 1 ? { op: 'ack', id: ids[0], type: 'ok' } : { op: 'ack', ids }));
