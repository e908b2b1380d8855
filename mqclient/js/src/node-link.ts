/** A link in Node, by npm's `ws`. */

import { createSecureContext } from 'node:tls';
import WebSocket from 'ws';
import { AddressError, ConnectError, LostError, type MqError, ProtocolError, TlsError, TooLargeError, UntrustedError } from './errors.js';
import type { Dial } from './link.js';

/** Why one side does not trust the other, by the error's code. */
const DISTRUST: Record<string, string> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is signed by nobody whom this client trusts',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is signed by nobody whom this client trusts',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is signed by nobody whom this client trusts',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate is signed by nobody whom this client trusts',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate is signed by nobody whom this client trusts',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet, or the clock here is slow',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'it wants to see a certificate of this client',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'it does not take the certificate of this client',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'it does not take the certificate of this client',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'it does not take the certificate of this client',
};

export const dial: Dial = (url, { ca, cert, key }, most, hooks) => {
  if (ca ?? cert ?? key) {
    try {
      createSecureContext({ ca, cert, key });
    } catch (error) {
      throw new TlsError((error as Error).message, error);
    }
  }
  const { host } = new URL(url);
  let socket: WebSocket;
  try {
    // Compression would cost more than it brings: messages are small, or compressed already.
    socket = new WebSocket(url, { ca, cert, key, perMessageDeflate: false, maxPayload: most, followRedirects: false });
  } catch (error) {
    throw new AddressError(url, error);
  }
  let opened = false;
  let ended = false;
  let why: MqError | undefined;
  const end = (error: MqError): void => {
    if (ended) return;
    ended = true;
    hooks.closed(error);
  };
  const corked = new Set<{ uncork(): void }>();
  socket.on('open', () => {
    opened = true;
    hooks.open();
  });
  socket.on('message', (data) => hooks.message(data));
  socket.on('ping', hooks.heard);
  socket.on('pong', hooks.heard);
  socket.on('unexpected-response', (_, { statusCode }) => {
    why = new ProtocolError(`it answers ${statusCode} to the handshake`);
    socket.terminate();
  });
  socket.on('error', (error) => {
    const { code = '', message } = error;
    const distrust = DISTRUST[code];
    if (distrust) why ??= new UntrustedError(`${host}: ${distrust}`, error);
    else if (code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') why ??= new TooLargeError(String(most), error);
    else if (opened) why ??= new LostError(message || code, error);
    else if (/^(HPE_|WS_ERR_)/.test(code) || /Invalid|Unexpected server/.test(message)) why ??= new ProtocolError(message, error);
    else why ??= new ConnectError(`${host}: ${message || code}`, error);
  });
  socket.on('close', () => {
    end(why ?? (opened ? new LostError('the server closed it') : new ConnectError(`${host}: the connection was cut`)));
  });
  return {
    send(bytes) {
      // Many messages go in one write.
      const stream = socket._socket;
      if (stream && !corked.has(stream)) {
        corked.add(stream);
        stream.cork();
        process.nextTick(() => {
          corked.delete(stream);
          stream.uncork();
        });
      }
      if (socket.readyState === WebSocket.OPEN) socket.send(bytes);
    },
    ping() {
      if (socket.readyState === WebSocket.OPEN) socket.ping();
      return true;
    },
    get buffered() {
      return socket.bufferedAmount;
    },
    close: () => socket.close(1000),
    drop() {
      ended = true;
      // It may not stand yet, and then says so.
      socket.terminate();
    },
  };
};
