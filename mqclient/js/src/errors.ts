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
export class AddressError extends kind('Address', "not a server's address: ", ' (expected ws:// or wss://host:port)') {}
/** The server cannot be reached: whoever runs it starts it, or the caller tries again later. */
export class ConnectError extends kind('Connect', 'cannot connect to ') {}
/** One side does not trust the other: the caller names other roots or corrects the host's name, or
 * whoever runs the server mends its certificate. */
export class UntrustedError extends kind('Untrusted', 'no trust between this client and ') {}
/** These are no certificates, or no private key; the caller corrects them. */
export class TlsError extends kind('Tls', 'TLS: ') {}
/** The link broke before the answer came; the caller tries again. */
export class LostError extends kind('Lost', 'the link to the server broke: ') {}
/** No such user: the caller registers it, or corrects the name. */
export class UserUnknownError extends kind('UserUnknown', 'the server knows no such user') {}
/** No such node: the caller adds it, or corrects the name. */
export class NodeUnknownError extends kind('NodeUnknown', 'the user has no such node') {}
/** Another connection holds the node: the caller ends that one, or waits. */
export class NodeActiveError extends kind('NodeActive', 'the node is already active on another connection') {}
/** Another connection, or another tab, has taken the node over; the caller leaves it to that one. */
export class TakenOverError extends kind('TakenOver', 'another connection has taken the node over') {}
/** The user is registered already; the caller logs in, or takes another name. */
export class UserExistsError extends kind('UserExists', 'the user exists') {}
/** The server ended the connection for a reason that trying again does not cure; the caller reads the
 * text. */
export class RefusedError extends kind('Refused', 'the server refuses the connection: ') {}
/** The server refused this one request; the caller reads the text and corrects it, or tries again if it
 * speaks of storage. */
export class RejectedError extends kind('Rejected', 'the server refuses the request: ') {}
/** The message exceeds the limit; the caller makes it smaller. */
export class TooLargeError extends kind('TooLarge', 'the message is larger than ', ' bytes') {}
/** The header, with all its recipients, exceeds 65,535 bytes; the caller names fewer. */
export class HeaderTooLongError extends kind('HeaderTooLong', 'too many recipients for one message') {}
/** An argument that the protocol has no meaning for; the caller corrects it. */
export class ArgumentError extends kind('Argument', 'invalid argument: ') {}
/** The peer speaks another protocol; the caller corrects the address. */
export class ProtocolError extends kind('Protocol', 'the peer is no websocket.MQ server: ') {}
/** The client was closed before the answer came. A post may have arrived or not; with an outbox it is
 * kept, and the next client sends it. */
export class ClosedError extends kind('Closed', 'the client is closed') {}
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
export class DiskError extends kind('Disk') {}
