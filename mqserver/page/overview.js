// How the server is, now and in the last minutes.

import { query } from './api.js';
import { bytes, count, duration, el, facts, number } from './dom.js';
import { plot } from './plot.js';

const rate = (value) => `${number(Math.round(value * 10) / 10)}/s`;
const millis = (value) => (value === null || value === undefined ? '–' : `${number(Number(value.toPrecision(3)))} ms`);
const ms = (seconds) => (seconds === null || seconds === undefined ? null : seconds * 1000);
/** Points that are kept: of 15 minutes. */
const POINTS = 450;

export async function overview(view) {
  const tiles = ['Users', 'Nodes online', 'Connections', 'Messages waiting'].map((name) => [name, el('strong'), el('span', { class: 'hint' })]);
  const disk = el('meter', { min: 0, id: 'disk' });
  const diskText = el('span');
  const journal = el('meter', { min: 0, id: 'journal' });
  const journalText = el('span');
  const about = el('div');
  const plots = [
    plot('Messages', [['posted', (p) => p.posts], ['delivered', (p) => p.deliveries]], rate, 1),
    plot('Post to ack', [['median', (p) => ms(p.ackP50)], ['99th percentile', (p) => ms(p.ackP99)]], millis, 1),
    plot('Post to delivery', [['median', (p) => ms(p.deliverP50)], ['99th percentile', (p) => ms(p.deliverP99)]], millis, 1),
    plot('Waiting', [['messages', (p) => p.waiting]], number, 10),
  ];
  let points = [];
  const tell = (status, series) => {
    points = [...points, ...series.points].slice(-POINTS);
    const all = [
      [number(status.users), `${count(status.nodes, 'node')}, ${count(status.lists, 'list')}`],
      [number(status.online), `of ${number(status.nodes)}`],
      [number(status.links), 'logged in or not'],
      [number(status.waiting), 'counted for each node'],
    ];
    all.forEach(([value, more], i) => {
      tiles[i][1].textContent = value;
      tiles[i][2].textContent = more;
    });
    const { free, total } = status.disk ?? {};
    if (total) {
      Object.assign(disk, { max: total, low: total * 0.9, high: total * 0.97, optimum: 0, value: total - free });
      diskText.textContent = `${bytes(free)} free of ${bytes(total)}`;
    }
    const { segments, used } = status.journal ?? {};
    if (segments) {
      Object.assign(journal, { max: segments, low: segments * 0.8, high: segments * 0.95, optimum: 0, value: used });
      journalText.textContent = `${number(used)} of ${count(segments, 'segment')} in use`;
    }
    about.replaceChildren(facts([
      ['Version', status.version],
      ['Process', String(status.pid)],
      ['Running for', duration(status.uptimeS)],
    ]));
    plots.forEach((one) => one.draw(points));
  };
  const refresh = async () => tell(...await Promise.all([view.api('status'), view.api(`series${query({ after: points.at(-1)?.time })}`)]));
  await refresh();
  view.live(refresh);
  return [
    el('h1', { tabindex: -1 }, 'Overview'),
    el('dl', { class: 'tiles' }, tiles.map(([name, value, more]) => el('div', {}, el('dt', {}, name), el('dd', {}, value, more)))),
    el('div', { class: 'plots' }, plots),
    el('div', { class: 'meters' },
      el('p', {}, el('label', { for: 'disk' }, 'Disk'), disk, diskText),
      el('p', {}, el('label', { for: 'journal' }, 'Journal'), journal, journalText)),
    about,
  ];
}
