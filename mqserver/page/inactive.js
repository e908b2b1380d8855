// Nodes that nobody has logged in for long.

import { path } from './api.js';
import { ask } from './ask.js';
import { browse } from './browse.js';
import { ago, button, el, link, table, to } from './dom.js';

const PERIODS = { '1d': 'a day', '7d': 'a week', '30d': '30 days', '90d': '90 days', '365d': 'a year' };

/** Asks, and drops a node; resolves to whether it did. */
export async function dropNode(view, user, offset) {
  const text = 'What waits for this node only is lost; messages of the user’s other nodes stay with them. This cannot be undone.';
  const wanted = await ask({ title: `Drop ${user},${offset}?`, text, action: 'Drop the node', name: `${user},${offset}` });
  return !!wanted && view.act(view.api(path('users', user, 'nodes', offset), { method: 'DELETE' }), () => `${user},${offset} is dropped.`);
}

export async function inactive(view, _, given) {
  const inactive = Object.hasOwn(PERIODS, given.get('inactive')) ? given.get('inactive') : '30d';
  const drop = (user, offset) => async () => {
    if (await dropNode(view, user, offset)) view.go();
  };
  const row = ({ user, offset, online, lastSeen }) => [
    link(user, to('user', user)),
    link(`${user},${offset}`, to('queue', user, offset)),
    online ? 'now' : ago(lastSeen),
    button('Drop…', drop(user, offset), 'danger', `Drop ${user},${offset}…`),
  ];
  const { results } = await browse(view, 'inactive', given, {
    path: 'nodes', key: 'nodes', one: 'node', more: { inactive },
    render: (found) => table('Nodes by name', ['User', 'Queue', 'Last seen', 'Action'], found.map(row)),
  });
  const choice = el('select', { id: 'period', onchange: () => view.go(`#/inactive?inactive=${choice.value}`) },
    Object.entries(PERIODS).map(([value, text]) => el('option', { value, selected: value === inactive }, text)));
  return [
    el('h1', { tabindex: -1 }, 'Inactive nodes'),
    el('p', {}, el('label', { for: 'period' }, 'Not seen for '), choice),
    results,
  ];
}
