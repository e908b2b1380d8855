// What is looked through: a search on the server, and pages.

import { api, query } from './api.js';
import { count, el } from './dom.js';

/** How long typing has to rest before it is searched for, in ms. */
const REST = 200;
const PAGE = 100;

/**
 * A search field and its results. `path` answers with an array `key`, and `next` if there are more;
 * `render` makes a table of the array.
 */
export async function browse(view, place, given, { path, key, one, render, more = {} }) {
  const results = el('div', { class: 'results' });
  const load = async (search, after) => {
    const answer = await api(path + query({ ...more, search, after, limit: PAGE }), { signal: view.signal });
    const found = answer[key];
    const state = answer.next || after ? `${count(found.length, one)} on this page` : count(found.length, one);
    const at = (from) => `#/${place}${query({ ...Object.fromEntries(given), search, after: from })}`;
    results.replaceChildren(
      el('p', { role: 'status', class: 'hint' }, state),
      found.length ? render(found) : '',
      el('p', { class: 'pages' },
        after ? el('a', { href: at('') }, '« First page') : '',
        answer.next ? el('a', { href: at(answer.next), rel: 'next' }, 'Next page »') : ''));
  };
  const search = given.get('search') ?? '';
  await load(search, given.get('after') ?? '');
  return { results, load };
}

/** A field that searches while one types. */
export function searchField(view, place, label, search, load) {
  let rest;
  const run = async (value) => {
    history.replaceState(null, '', `#/${place}${query({ search: value })}`);
    await load(value, '').catch((error) => view.failed(error, true));
  };
  const field = el('input', {
    type: 'search', id: 'search', value: search, autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false',
    oninput: () => { clearTimeout(rest); rest = setTimeout(() => run(field.value), REST); },
  });
  const submit = (event) => { event.preventDefault(); clearTimeout(rest); run(field.value); };
  return el('form', { role: 'search', onsubmit: submit }, el('label', { for: 'search' }, label), field);
}
