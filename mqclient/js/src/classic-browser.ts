/** The original's style, in browsers. */

import { dial } from './browser-link.js';
import { ClassicClient } from './classic.js';

export * from './errors.js';
export { type Callback, ClassicClient, type ClassicEvents, type Incoming } from './classic.js';

/** Connects, to the page's host if no URL is given; requests may be made at once. */
export const connect = (url = `ws://${location.hostname || '127.0.0.1'}:8008`): ClassicClient => new ClassicClient(dial, url, {});
