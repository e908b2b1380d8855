// Lines over time, in SVG.

import { el } from './dom.js';

const [WIDTH, HEIGHT] = [600, 140];

function svg(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The next 1, 2 or 5 times a power of ten. */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= value);
}

/**
 * A figure with `lines` of [name, value of a point]; `show` writes a value, and `least` is the least
 * top of the scale. Its `draw` takes the points.
 */
export function plot(title, lines, show, least) {
  const paths = lines.map((_, i) => svg('path', { class: `line line-${i}` }));
  const cursor = svg('line', { class: 'cursor', y1: 0, y2: HEIGHT });
  const drawing = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' },
    svg('line', { class: 'grid', x1: 0, x2: WIDTH, y1: 0.5, y2: 0.5 }),
    svg('line', { class: 'grid', x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2 }),
    svg('line', { class: 'axis', x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
    ...paths, cursor);
  const values = lines.map(() => el('b'));
  const [top, from, until] = [el('span', { class: 'top' }), el('span'), el('span')];
  const figure = el('figure', { class: 'plot' },
    el('figcaption', {},
      el('h2', {}, title),
      el('ul', {}, lines.map(([name], i) => el('li', {}, el('i', { class: `key line-${i}` }), `${name} `, values[i])))),
    el('div', { class: 'field' }, drawing, top),
    el('p', { class: 'scale' }, from, until));

  let points = [];
  let at;
  const time = (point) => new Date(point.time).toLocaleTimeString('en-GB');
  const label = () => {
    const index = at ?? points.length - 1;
    if (index < 0) return;
    lines.forEach(([, value], i) => { values[i].textContent = show(value(points[index])); });
    until.textContent = at === undefined ? 'now' : `at ${time(points[index])}`;
    const x = points.length > 1 ? (index / (points.length - 1)) * WIDTH : 0;
    cursor.setAttribute('x1', x);
    cursor.setAttribute('x2', x);
    cursor.classList.toggle('on', at !== undefined);
    drawing.setAttribute('aria-label', `${title}, now: ${lines.map(([name, value]) => `${name} ${show(value(points.at(-1)))}`).join(', ')}`);
  };
  drawing.addEventListener('pointermove', ({ clientX }) => {
    const { left, width } = drawing.getBoundingClientRect();
    at = Math.max(0, Math.min(points.length - 1, Math.round(((clientX - left) / width) * (points.length - 1))));
    label();
  });
  drawing.addEventListener('pointerleave', () => { at = undefined; label(); });

  figure.draw = (given) => {
    points = given;
    if (at >= points.length) at = undefined;
    const all = lines.flatMap(([, value]) => points.map(value).filter((one) => one !== null && one !== undefined));
    const most = round(Math.max(least, ...all));
    top.textContent = show(most);
    from.textContent = points.length ? time(points[0]) : '';
    lines.forEach(([, value], i) => {
      let pen = 'M';
      const steps = points.map((point, index) => {
        const one = value(point);
        // Where nothing was measured there is a gap.
        if (one === null || one === undefined) {
          pen = 'M';
          return '';
        }
        const step = `${pen}${((index / Math.max(1, points.length - 1)) * WIDTH).toFixed(1)} ${(HEIGHT - 1 - (one / most) * (HEIGHT - 3)).toFixed(1)}`;
        pen = 'L';
        return step;
      });
      paths[i].setAttribute('d', steps.join('') || 'M0 0');
    });
    label();
  };
  return figure;
}
