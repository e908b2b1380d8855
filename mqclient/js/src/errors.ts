/** What can go wrong, and who acts on it. */

/** The kinds of {@link MqError}, as the Rust client names them. */
export type ErrorCode =
  | 'Address' | 'Connect' | 'Untrusted' | 'Tls' | 'Lost' | 'UserUnknown' | 'NodeUnknown' | 'NodeActive'
  | 'TakenOver' | 'UserExists' | 'Refused' | 'Rejected' | 'TooLarge' | 'HeaderTooLong' | 'Argument'
  | 'Protocol' | 'Closed' | 'Deadline' | 'Disk';

/** Why a request failed, or why the client ended. {@link code} names the kind. */
export class MqError extends Error {
  constructor(readonly code: ErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = `MqError.${code}`;
  }
}

/** An error that names something: the server's text, the limit in bytes, the URL. */
export interface AboutError extends MqError {
  readonly about: string;
}

const kind = (code: ErrorCode, before = '', after = ''): new (about?: string, cause?: unknown) => AboutError =>
  class extends MqError {
    constructor(readonly about = '', cause?: unknown) {
      super(code, before + about + after, cause);
    }
  };

/** The caller corrects the server's address. */
export const AddressError = /* @__PURE__ */ kind('Address', "not a server's address: ", ' (expected ws:// or wss://host:port)');
export type AddressError = AboutError;
/** The server cannot be reached: whoever runs it starts it, or the caller tries again later. */
export const ConnectError = /* @__PURE__ */ kind('Connect', 'cannot connect to ');
export type ConnectError = AboutError;
/** One side does not trust the other: the caller names other roots or corrects the host's name, or
 * whoever runs the server mends its certificate. */
export const UntrustedError = /* @__PURE__ */ kind('Untrusted', 'no trust between this client and ');
export type UntrustedError = AboutError;
/** These are no certificates, or no private key; the caller corrects them. */
export const TlsError = /* @__PURE__ */ kind('Tls', 'TLS: ');
export type TlsError = AboutError;
/** The link broke before the answer came; the caller tries again. */
export const LostError = /* @__PURE__ */ kind('Lost', 'the link to the server broke: ');
export type LostError = AboutError;
/** No such user: the caller registers it, or corrects the name. */
export const UserUnknownError = /* @__PURE__ */ kind('UserUnknown', 'the server knows no such user');
export type UserUnknownError = AboutError;
/** No such node: the caller adds it, or corrects the name. */
export const NodeUnknownError = /* @__PURE__ */ kind('NodeUnknown', 'the user has no such node');
export type NodeUnknownError = AboutError;
/** Another connection holds the node: the caller ends that one, or waits. */
export const NodeActiveError = /* @__PURE__ */ kind('NodeActive', 'the node is already active on another connection');
export type NodeActiveError = AboutError;
/** Another connection, or another tab, has taken the node over; the caller leaves it to that one. */
export const TakenOverError = /* @__PURE__ */ kind('TakenOver', 'another connection has taken the node over');
export type TakenOverError = AboutError;
/** The user is registered already; the caller logs in, or takes another name. */
export const UserExistsError = /* @__PURE__ */ kind('UserExists', 'the user exists');
export type UserExistsError = AboutError;
/** The server ended the connection for a reason that trying again does not cure; the caller reads the
 * text. */
export const RefusedError = /* @__PURE__ */ kind('Refused', 'the server refuses the connection: ');
export type RefusedError = AboutError;
/** The server refused this one request; the caller reads the text and corrects it, or tries again if it
 * speaks of storage. */
export const RejectedError = /* @__PURE__ */ kind('Rejected', 'the server refuses the request: ');
export type RejectedError = AboutError;
/** The message exceeds the limit; the caller makes it smaller. */
export const TooLargeError = /* @__PURE__ */ kind('TooLarge', 'the message is larger than ', ' bytes');
export type TooLargeError = AboutError;
/** The header, with all its recipients, exceeds 65,535 bytes; the caller names fewer. */
export const HeaderTooLongError = /* @__PURE__ */ kind('HeaderTooLong', 'too many recipients for one message');
export type HeaderTooLongError = AboutError;
/** An argument that the protocol has no meaning for; the caller corrects it. */
export const ArgumentError = /* @__PURE__ */ kind('Argument', 'invalid argument: ');
export type ArgumentError = AboutError;
/** The peer speaks another protocol; the caller corrects the address. */
export const ProtocolError = /* @__PURE__ */ kind('Protocol', 'the peer is no websocket.MQ server: ');
export type ProtocolError = AboutError;
/** The client was closed before the answer came. A post may have arrived or not; with an outbox it is
 * kept, and the next client sends it. */
export const ClosedError = /* @__PURE__ */ kind('Closed', 'the client is closed');
export type ClosedError = AboutError;
/** No ack came by the deadline that the caller set, and the post is not sent any more. If it was sent, it
 * may be stored: then the caller asks its recipient, or posts it again and risks that it arrives twice. */
export class DeadlineError extends MqError {
  /** @param maybeStored was it sent? */
  constructor(readonly maybeStored: boolean) {
    super('Deadline', 'not acked by its deadline: '
      + (maybeStored ? 'the post may have been stored or not' : 'the post was not sent'));
  }
}
/** The outbox cannot be used, or is full: whoever runs the program makes room, or mends what the text
 * names. A post that is refused for this was not sent; what was in the outbox stays there. */
export const DiskError = /* @__PURE__ */ kind('Disk');
export type DiskError = AboutError;
