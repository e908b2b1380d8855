// Asks before what cannot be undone.

import { el } from './dom.js';

const dialog = document.getElementById('ask');

/**
 * Resolves to the values of the form, or to undefined. With `name`, it has to be typed. `option` is
 * a check box.
 */
export function ask({ title, text, action, name, option }) {
  const go = el('button', { type: 'submit', class: 'danger', value: 'go', disabled: name !== undefined }, action);
  const typed = el('input', { name: 'typed', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false' });
  typed.addEventListener('input', () => { go.disabled = typed.value !== name; });
  const cancel = el('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel');
  const form = el('form', { method: 'dialog' },
    el('h2', { id: 'ask-title' }, title),
    el('p', {}, text),
    name === undefined ? [] : el('label', {}, 'Type ', el('strong', {}, name), ' to go on', typed),
    option ? el('label', { class: 'check' }, el('input', { type: 'checkbox', name: 'option' }), option) : [],
    el('p', { class: 'actions' }, cancel, go));
  dialog.replaceChildren(form);
  dialog.returnValue = '';
  dialog.showModal();
  // What cannot be undone is not what Enter does at once.
  (name === undefined ? cancel : typed).focus();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      resolve(dialog.returnValue === 'go' ? { option: form.elements.option?.checked } : undefined);
    }, { once: true });
  });
}
