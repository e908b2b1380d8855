// What the server's log has said lately.

import { ago, el } from './dom.js';

/** Lines kept on the page. */
const KEPT = 500;

export async function events(view) {
  const list = el('ol', { class: 'events' });
  const empty = el('p', {}, 'Nothing yet.');
  let last = 0;
  const line = ({ time, level, text }) => el('li', { 'data-level': level.toLowerCase() },
    ago(time), el('b', {}, level.toLowerCase()), el('span', {}, text));
  const refresh = async () => {
    const { events } = await view.api(`events?after=${last}`);
    for (const event of events) {
      last = event.number;
      list.prepend(line(event));
    }
    while (list.childElementCount > KEPT) list.lastChild.remove();
    empty.hidden = list.childElementCount > 0;
  };
  await refresh();
  view.live(refresh);
  const only = el('input', { type: 'checkbox', id: 'only', onchange: () => list.classList.toggle('only', only.checked) });
  return [
    el('h1', { tabindex: -1 }, 'Events'),
    el('p', {}, el('label', { class: 'check' }, only, 'Warnings and errors only')),
    empty,
    list,
  ];
}
