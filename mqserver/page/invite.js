// Tokens that let somebody register.

import { button, count, el } from './dom.js';

const DAY = 86400;
const PERIODS = [[3600, 'an hour'], [DAY, 'a day'], [7 * DAY, '7 days'], [30 * DAY, '30 days']];
const NEEDED = {
  open: 'Registration is open: nobody needs invitations now.',
  invite: 'Each lets one user register.',
  closed: 'Registration is closed: nobody can use them now.',
};

export async function invite(view) {
  const many = el('input', { type: 'number', id: 'many', min: 1, max: 1000, value: 1, required: true });
  const period = el('select', { id: 'period' }, PERIODS.map(([value, text]) => el('option', { value, selected: value === 7 * DAY }, text)));
  const made = el('div', { 'aria-live': 'polite' });
  const copy = async (texts) => {
    try {
      await navigator.clipboard.writeText(texts.join('\n'));
      view.tell('Copied.');
    } catch {
      // Beyond this machine and without TLS a page has no clipboard.
      getSelection().selectAllChildren(made.querySelector('ul'));
      view.tell('The browser does not let this page copy: copy what is marked.', true);
    }
  };
  const make = async () => {
    const body = { count: Number(many.value), expiresS: Number(period.value) };
    const { invites, expires, registration } = await view.api('invitations', { method: 'POST', body });
    made.replaceChildren(
      el('h2', {}, count(invites.length, 'invitation')),
      el('p', {}, `Good until ${new Date(expires).toLocaleString()}. Shown only now. ${NEEDED[registration] ?? ''}`),
      invites.length > 1 ? el('p', {}, button('Copy all', () => copy(invites))) : '',
      el('ul', { class: 'tokens' }, invites.map((token) => el('li', {}, el('code', {}, token), button('Copy', () => copy([token]), undefined, `Copy ${token}`)))));
    return invites.length;
  };
  const submit = (event) => {
    event.preventDefault();
    view.act(make(), (length) => `${count(length, 'invitation')} made.`);
  };
  return [
    el('h1', { tabindex: -1 }, 'Invite'),
    el('form', { onsubmit: submit, class: 'row' },
      el('p', {}, el('label', { for: 'many' }, 'How many'), many),
      el('p', {}, el('label', { for: 'period' }, 'Good for'), period),
      el('button', { type: 'submit' }, 'Make')),
    made,
  ];
}
