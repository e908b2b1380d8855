// The users, and one of them.

import { path } from './api.js';
import { ask } from './ask.js';
import { browse, searchField } from './browse.js';
import { ago, button, bytes, count, el, facts, link, number, series, table, to } from './dom.js';
import { dropNode } from './inactive.js';

const row = ({ name, aliases, nodes, online, disabled, lastSeen }) => [
  link(name, to('user', name)),
  aliases.join(', '),
  number(nodes),
  disabled ? el('span', { class: 'bad' }, 'disabled') : online ? el('span', { class: 'good' }, `${number(online)} online`) : 'offline',
  online ? 'now' : ago(lastSeen),
];

export async function users(view, _, given) {
  const { results, load } = await browse(view, 'users', given, {
    path: 'users', key: 'users', one: 'user',
    render: (found) => table('Users by name', ['Name', 'Aliases', 'Nodes', 'State', 'Last seen'], found.map(row), [2]),
  });
  return [el('h1', { tabindex: -1 }, 'Users'), searchField(view, 'users', 'Search names and aliases', given.get('search') ?? '', load), results];
}

export async function user(view, [name]) {
  const user = await view.api(path('users', name));
  const place = (...more) => path('users', name, ...more);
  const remove = async () => {
    const text = `All ${count(user.nodes.length, 'node')} of ${name} and what waits for them go. This cannot be undone.`;
    if (!(await ask({ title: `Delete ${name}?`, text, action: 'Delete the user', name }))) return;
    if (await view.act(view.api(place(), { method: 'DELETE' }), () => `${name} is deleted.`)) view.go('#/users');
  };
  const turn = async () => {
    const [what, done] = user.disabled ? ['enable', 'enabled'] : ['disable', 'disabled'];
    const text = 'All its nodes are logged out, and cannot log in until it is enabled again. Messages go on to be kept for them.';
    if (!user.disabled && !(await ask({ title: `Disable ${name}?`, text, action: 'Disable the user' }))) return;
    if (await view.act(view.api(place(what), { method: 'POST' }), () => `${name} is ${done}.`)) view.go();
  };
  const drop = (offset) => async () => {
    if (await dropNode(view, name, offset)) view.go();
  };
  const node = ({ offset, online, queued, bytes: size, lastSeen }) => [
    `${name},${offset}`,
    online ? el('span', { class: 'good' }, 'online') : 'offline',
    link(count(queued, 'message'), to('queue', name, offset)),
    bytes(size),
    online ? 'now' : ago(lastSeen),
    button('Drop…', drop(offset), 'danger', `Drop ${name},${offset}…`),
  ];
  return [
    el('div', { class: 'head' },
      el('h1', { tabindex: -1 }, name),
      el('p', { class: 'actions' },
        button(user.disabled ? 'Enable' : 'Disable…', turn),
        button('Delete…', remove, 'danger'))),
    facts([
      ['State', user.disabled ? el('span', { class: 'bad' }, 'disabled: it cannot log in') : 'enabled'],
      ['Aliases', series(user.aliases)],
      ['Lists', series(user.lists.map((list) => link(list, to('list', list))))],
    ]),
    table('Nodes', ['Node', 'State', 'Queue', 'Size', 'Last seen', 'Action'], user.nodes.map(node), [3]),
  ];
}
