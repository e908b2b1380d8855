/** The seam between a client and the WebSocket of where it runs. */

import type { MqError } from './errors.js';

/** What a link tells. After `closed` it tells no more. */
export interface Hooks {
  open(): void;
  message(bytes: Uint8Array): void;
  /** The peer gave a sign of life that is no message. */
  heard(): void;
  closed(why: MqError): void;
}

/** A WebSocket that is being made, stands, or is gone. */
export interface Link {
  send(bytes: Uint8Array): void;
  /** Asks the peer for a sign of life; false if that cannot be done. */
  ping(): boolean;
  /** Bytes that were given to it and that the socket has not taken. */
  readonly buffered: number;
  /** Closes it when what was given to it is sent. */
  close(): void;
  /** Ends it at once. */
  drop(): void;
}

/** Whom to trust, and the certificate to show. In browsers the browser says both. */
export interface Tls {
  /** Roots to trust in place of the system's, PEM. A certificate that signs itself is its own root. */
  ca?: string;
  /** The client's own certificate and those between it and its root, PEM. */
  cert?: string;
  /** The private key of `cert`, PEM. */
  key?: string;
}

/** Makes a link; `most` is the largest message to take, in bytes. Throws an `MqError` if the URL or the
 * certificates are none. Tells nothing before it returns. */
export type Dial = (url: string, tls: Tls, most: number, hooks: Hooks) => Link;
