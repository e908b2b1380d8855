// What waits for one node, and one message of it.

import { blob, path, query } from './api.js';
import { ask } from './ask.js';
import { ago, button, bytes, count, el, facts, link, table, to } from './dom.js';

const PAGE = 100;
/** Bytes in a row of the hex dump, and rows at most. */
const ROW = 16;
const ROWS = 256;

export async function queue(view, [user, offset], given) {
  const place = path('users', user, 'nodes', offset, 'queue');
  const after = given.get('after') ?? '';
  const { messages, next } = await view.api(place + query({ after, limit: PAGE }));
  const purge = async () => {
    const text = `All that waits for ${user},${offset} now is deleted. This cannot be undone.`;
    const wanted = await ask({ title: 'Purge this queue?', text, action: 'Purge the queue', name: `${user},${offset}`, option: 'Bounce the messages: their senders are told' });
    if (!wanted) return;
    const purged = view.api(place + query({ bounce: wanted.option ? 1 : '' }), { method: 'DELETE' });
    if (await view.act(purged, (answer) => `${count(answer.purged, 'message')} purged.`)) view.go();
  };
  const row = ({ id, from, posted, op, size, single }) => [
    link(id, to('message', user, offset, id)),
    from ? link(from, to('user', from)) : 'not known',
    `${op ?? 'damaged'}${single ? ', for one node' : ''}`,
    ago(posted),
    bytes(size),
  ];
  const here = to('queue', user, offset);
  return [
    el('div', { class: 'head' },
      el('h1', { tabindex: -1 }, `Queue of ${user},${offset}`),
      el('p', { class: 'actions' },
        button('Refresh', () => view.go()),
        messages.length ? button('Purge…', purge, 'danger') : '')),
    el('p', {}, link(`All of ${user}`, to('user', user))),
    messages.length
      ? table('Messages, the oldest first', ['Message', 'From', 'Kind', 'Posted', 'Size'], messages.map(row), [4])
      : el('p', {}, 'Nothing waits.'),
    el('p', { class: 'pages' },
      after ? link('« First page', here) : '',
      next ? el('a', { href: here + query({ after: next }), rel: 'next' }, 'Next page »') : ''),
  ];
}

export async function message(view, [user, offset, id]) {
  const place = path('users', user, 'nodes', offset, 'queue', id);
  const { header, etc, body, text, size, cut } = await view.api(place);
  const raw = Uint8Array.from(atob(body ?? ''), (c) => c.charCodeAt(0));
  const download = async () => {
    try {
      const url = URL.createObjectURL(await blob(`${place}?raw=1`, { signal: view.signal }));
      el('a', { href: url, download: `message-${id}` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (error) {
      view.failed(error, true);
    }
  };
  const json = (value) => el('pre', { tabindex: 0 }, JSON.stringify(value, null, 2));
  return [
    el('div', { class: 'head' },
      el('h1', { tabindex: -1 }, `Message ${id}`),
      el('p', { class: 'actions' }, button('Download', download))),
    facts([
      ['Waits for', link(`${user},${offset}`, to('queue', user, offset))],
      ['Size', bytes(size ?? raw.length)],
    ]),
    el('h2', {}, 'Header'),
    json(header),
    ...(etc === undefined || etc === null ? [] : [el('h2', {}, 'etc'), json(etc)]),
    el('h2', {}, 'Body'),
    ...(raw.length === 0
      ? [el('p', {}, 'Empty.')]
      : [el('pre', { tabindex: 0, id: 'body' }, text ?? hex(raw))]),
    ...(cut || (text === undefined && raw.length > ROW * ROWS) ? [el('p', { class: 'hint' }, 'That is its beginning. Download it to have all.')] : []),
  ];
}

function hex(raw) {
  const rows = [];
  for (let at = 0; at < raw.length && rows.length < ROWS; at += ROW) {
    const part = [...raw.subarray(at, at + ROW)];
    const digits = part.map((byte) => byte.toString(16).padStart(2, '0')).join(' ').padEnd(ROW * 3 - 1);
    const text = part.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : '·')).join('');
    rows.push(`${at.toString(16).padStart(6, '0')}  ${digits}  ${text}`);
  }
  return rows.join('\n');
}
