// Elements and words. Text is only ever put in as text: no name becomes HTML.

/** An element: `on…` are listeners, other properties attributes; children are nodes or texts. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== undefined));
  return element;
}

export const link = (text, href) => el('a', { href }, text);
/** A button; `label` says more to those who do not see what is around it. */
export const button = (text, onclick, kind, label) => el('button', { type: 'button', class: kind, onclick, 'aria-label': label }, text);
/** A link within the page, to names that may be anything. */
export const to = (...parts) => `#/${parts.map(encodeURIComponent).join('/')}`;

/** A table that becomes cards where there is little room; `numbers` are the columns of them. */
export function table(caption, heads, rows, numbers = []) {
  const kind = (column) => (numbers.includes(column) ? 'number' : undefined);
  const cell = (content, column) => el('td', { role: 'cell', 'data-label': heads[column], class: kind(column) }, content);
  const row = (cells) => el('tr', { role: 'row' }, cells.map(cell));
  return el('table', { role: 'table' },
    el('caption', {}, caption),
    el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' },
      heads.map((head, column) => el('th', { role: 'columnheader', scope: 'col', class: kind(column) }, head)))),
    el('tbody', { role: 'rowgroup' }, rows.map(row)));
}

/** Terms and what they are. */
export const facts = (pairs) => el('dl', {}, pairs.map(([term, ...what]) => el('div', {}, el('dt', {}, term), el('dd', {}, what))));

/** Things with commas between them. */
export const series = (things) => (things.length ? things.flatMap((thing, i) => (i ? [', ', thing] : [thing])) : ['none']);

export const number = (value) => (value ?? 0).toLocaleString('en');
export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

export function bytes(value = 0) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (value >= 1024 && unit < 4) [value, unit] = [value / 1024, unit + 1];
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function duration(seconds) {
  for (const [size, name] of [[86400, 'd'], [3600, 'h'], [60, 'min']]) {
    if (seconds >= size * 2) return `${Math.floor(seconds / size)} ${name}`;
  }
  return `${Math.max(0, Math.round(seconds))} s`;
}

/** How long ago it was, with the exact time behind it. */
export function ago(time) {
  if (!time) return 'not known';
  return el('time', { datetime: time, title: time }, `${duration((Date.now() - Date.parse(time)) / 1000)} ago`);
}
