// The mailing lists, and one of them.

import { path } from './api.js';
import { browse, searchField } from './browse.js';
import { count, el, link, number, table, to } from './dom.js';

export async function lists(view, _, given) {
  const row = ({ name, members }) => [link(name, to('list', name)), number(members)];
  const { results, load } = await browse(view, 'lists', given, {
    path: 'lists', key: 'lists', one: 'list',
    render: (found) => table('Lists by name', ['Name', 'Members and invited'], found.map(row), [1]),
  });
  return [el('h1', { tabindex: -1 }, 'Lists'), searchField(view, 'lists', 'Search names', given.get('search') ?? '', load), results];
}

export async function list(view, [name]) {
  const { members, invited } = await view.api(path('lists', name));
  const people = (title, names) => [
    el('h2', {}, `${title} (${count(names.length, 'user')})`),
    names.length ? el('ul', { class: 'names' }, names.map((user) => el('li', {}, link(user, to('user', user))))) : el('p', {}, 'Nobody.'),
  ];
  return [el('h1', { tabindex: -1 }, name), ...people('Members', members), ...people('Invited', invited)];
}
