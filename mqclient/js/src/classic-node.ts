/** The original's style, in Node. */

import { ClassicClient } from './classic.js';
import type { Tls } from './link.js';
import { dial } from './node-link.js';

export * from './errors.js';
export { type Callback, ClassicClient, type ClassicEvents, type Incoming } from './classic.js';

/** Connects; requests may be made at once. */
export const connect = (url = 'ws://127.0.0.1:8008', tls: Tls = {}): ClassicClient => new ClassicClient(dial, url, tls);
