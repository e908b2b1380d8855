/** What both entry points export. */

export { type Events, type Options, type Posting, type PostOptions, Client, type Status } from './client.js';
export type { Added, Addition, Registered, Registration } from './enrol.js';
export * from './errors.js';
export type { Kind } from './inbox.js';
export type { Tls } from './link.js';
export { Message } from './message.js';
export type { Body, ListEdit, RecipientType, To } from './request.js';
export type { Login, Receipt, Stats } from './session.js';
export type { Change, Found, Store, StoredPost } from './store/store.js';
