/** A message's outer form: `LLLL`, a JSON header of that many bytes, `etc`, data.
 *
 * `LLLL` is the header's length as 1–4 hex digits, padded with spaces to four characters. `etc` is a
 * second JSON value whose length the header's field `etc` gives; data is any bytes.
 */

import { ProtocolError } from './errors.js';

/** The longest JSON header in bytes: what four hex digits can say. */
export const MAX_HEADER = 0xffff;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const utf8 = (text: string): Uint8Array => encoder.encode(text);
export const text = (bytes: Uint8Array): string => decoder.decode(bytes);

/** JSON in ASCII, as the protocol's headers are. */
export const ascii = (json: string): string =>
  json.replace(/[^\0-\x7f]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));

/** A whole message; undefined if the header, JSON in ASCII, is too long. */
export function message(header: string, etc?: Uint8Array, data?: Uint8Array): Uint8Array | undefined {
  if (header.length > MAX_HEADER) return undefined;
  const head = header.length.toString(16).padEnd(4) + header;
  const out = new Uint8Array(head.length + (etc?.length ?? 0) + (data?.length ?? 0));
  encoder.encodeInto(head, out);
  if (etc) out.set(etc, head.length);
  if (data) out.set(data, out.length - data.length);
  return out;
}

/** What the server says. `body` is etc and data. */
export interface Reply {
  op: string;
  id?: string;
  from?: string;
  etc?: number;
  error?: string;
  info?: string;
  type?: string;
  nodeId?: string;
  offset?: number;
  posted?: string;
  redelivered: number;
  msgid?: string;
  dup: boolean;
  v?: number;
  server?: string;
  node?: number;
  window?: number;
  queued?: number;
  maxMessage?: number;
  time?: string;
  body: Uint8Array;
}

const wrong = (why: string): never => {
  throw new ProtocolError(why);
};

/** Parses a whole message from the server; throws a {@link ProtocolError} if it is none. */
export function parse(bytes: Uint8Array): Reply {
  const [, digits] = /^ *\+?(?:0[xX])?([0-9a-fA-F]+)/.exec(text(bytes.subarray(0, 4))) ?? [];
  const end = 4 + parseInt(digits ?? '', 16);
  if (!(end <= bytes.length)) wrong('invalid length header');
  let header: Partial<Reply> | null = null;
  try {
    header = JSON.parse(text(bytes.subarray(4, end)));
  } catch {
    // Told next.
  }
  if (typeof header?.op !== 'string') return wrong('invalid JSON, or no op');
  // What we use as a text, or as a length.
  for (const name of ['id', 'from', 'error', 'info'] as const) {
    if (typeof (header[name] ?? '') !== 'string') wrong(`invalid ${name}`);
  }
  const body = bytes.subarray(end);
  const { etc = 0 } = header;
  if (!Number.isInteger(etc) || etc < 0 || etc > body.length) wrong('invalid etc');
  return { redelivered: 0, dup: false, ...(header as { op: string }), body };
}

/** The bytes of `etc`, a JSON value, if there is one. */
export const etcOf = (reply: Reply): Uint8Array | undefined =>
  reply.etc === undefined ? undefined : reply.body.subarray(0, reply.etc);

/** What follows `etc`. */
export const dataOf = (reply: Reply): Uint8Array => reply.body.subarray(reply.etc ?? 0);

/** `etc` as a value; undefined if there is none, or it is no JSON. */
export function etcValue(reply: Reply): unknown {
  try {
    return reply.etc === undefined ? undefined : JSON.parse(text(reply.body.subarray(0, reply.etc)));
  } catch {
    return undefined;
  }
}

/** Whom a post did not reach, by name, and why. */
export function failedOf(reply: Reply): Record<string, string> {
  const etc = etcValue(reply) as { failed?: Record<string, string> } | null | undefined;
  return etc?.failed ?? {};
}
