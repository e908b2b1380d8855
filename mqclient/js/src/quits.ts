/** What a server's `quit` means for the client: try again, or end. */

import {
  type MqError, NodeActiveError, NodeUnknownError, RefusedError, TakenOverError, UserUnknownError,
} from './errors.js';

/** What is to be done: `again` after a pause; `large`: without what was too large; `op`: without what the
 * server does not know; `end` for good. */
export type Verdict = ['again' | 'end', MqError] | ['large'] | ['op'];

/** What passes by itself. */
const PASSING = [
  'shutdown', 'storage failure', 'close timeout', 'too many connections',
  'too many connections from this address',
];

/** What does not pass by itself ends the client: it would only be refused again, for ever. */
export function verdict(text: string, patient: boolean): Verdict {
  // After a lost link the server may hold on to the old one for a while.
  if (text === 'node already active' && patient) return ['again', new NodeActiveError()];
  if (PASSING.includes(text)) return ['again', new RefusedError(text)];
  if (text === 'message too large') return ['large'];
  if (text === 'invalid request op') return ['op'];
  return ['end', quitError(text)];
}

const KNOWN: Record<string, new () => MqError> = {
  'userId unknown': UserUnknownError,
  'nodeId unknown': NodeUnknownError,
  'node already active': NodeActiveError,
  'taken over': TakenOverError,
};

/** The error for a `quit` in answer to a single request. */
export const quitError = (text: string): MqError => {
  const known = KNOWN[text];
  return known ? new known() : new RefusedError(text);
};
