/** A link in a browser. */

import { AddressError, ConnectError, LostError } from './errors.js';
import type { Dial } from './link.js';
import { message, utf8 } from './wire.js';

/** Browsers send no pings, so this is asked instead: a post to nobody, which every server refuses. Its ack is
 * nobody's. */
const PROBE = message('{"op":"post","id":"ping","to":{},"noNodes":true}')!;

export const dial: Dial = (url, _tls, _most, hooks) => {
  let socket: WebSocket;
  try {
    socket = new WebSocket(url);
  } catch (error) {
    throw new AddressError(url, error);
  }
  socket.binaryType = 'arraybuffer';
  let opened = false;
  let ended = false;
  socket.onopen = () => {
    opened = true;
    if (!ended) hooks.open();
  };
  socket.onmessage = ({ data }) => {
    if (!ended) hooks.message(typeof data === 'string' ? utf8(data) : new Uint8Array(data as ArrayBuffer));
  };
  socket.onclose = () => {
    if (ended) return;
    ended = true;
    hooks.closed(opened
      ? new LostError('the connection was closed')
      // Browsers do not say which.
      : new ConnectError(`${url}: no server, or no trust in its certificate`));
  };
  const send = (bytes: Uint8Array): void => {
    if (socket.readyState === WebSocket.OPEN) socket.send(bytes as Uint8Array<ArrayBuffer>);
  };
  return {
    send,
    ping() {
      send(PROBE);
      return true;
    },
    get buffered() {
      return socket.bufferedAmount;
    },
    close: () => socket.close(1000),
    drop() {
      ended = true;
      socket.close();
    },
  };
};
