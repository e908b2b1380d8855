// The session core against the scripts that the Rust client's runs too: mqclient/vectors.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { aliases, listEdit, ping, post } from '../dist/esm/request.js';
import { DEFAULTS, Session } from '../dist/esm/session.js';
import { ClosedError, DiskError, LostError } from '../dist/esm/errors.js';
import { message, parse, text, utf8 } from '../dist/esm/wire.js';

const folder = new URL('../../vectors/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
assert.ok(files.length > 0, 'there are scripts');

const json = (value) => JSON.parse(JSON.stringify(value));
const pruned = (fields) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) =>
    value !== undefined && value !== '' && value !== false
    && !(typeof value === 'object' && Object.keys(value).length === 0)));

/** A message as the scripts write it. */
function written(bytes) {
  const end = 4 + parseInt(text(bytes.subarray(0, 4)), 16);
  const header = JSON.parse(text(bytes.subarray(4, end)));
  const reply = parse(bytes);
  const etc = reply.etc === undefined ? {} : { etc: JSON.parse(text(reply.body.subarray(0, reply.etc))) };
  const data = text(reply.body.subarray(reply.etc ?? 0));
  return { header, ...etc, ...(data && { data }) };
}

function read({ header, etc, data = '' }) {
  return message(JSON.stringify(header), etc === undefined ? undefined : utf8(JSON.stringify(etc)), utf8(data));
}

function kind(error) {
  const name = error.code[0].toLowerCase() + error.code.slice(1);
  switch (error.code) {
    case 'Refused':
    case 'Rejected': return { kind: name, text: error.about };
    case 'TooLarge': return { kind: name, most: Number(error.about) };
    case 'Deadline': return { kind: name, maybeStored: error.maybeStored };
    default: return { kind: name };
  }
}

function told(event) {
  switch (event.type) {
    case 'loggedIn': return { loggedIn: event.login };
    case 'settled':
      return event.result instanceof Error
        ? { settled: event.id, error: kind(event.result) }
        : { settled: event.id, receipt: pruned(event.result) };
    case 'letter': {
      const { etc, data, ...rest } = event.letter;
      return { letter: { ...pruned({ ...rest, data: text(data) }), ...(etc && { etc: JSON.parse(text(etc)) }) } };
    }
    case 'ping': return { ping: true };
    case 'keep':
      return { keep: { id: event.id, ...written(event.message), ...(event.deadline !== undefined && { deadline: event.deadline }) } };
    case 'discard': return { discard: event.id };
    case 'remember': return { remember: event.id };
  }
}

function run(script) {
  const { lastId = '0', posts = [], acked = [] } = script.saved ?? {};
  const config = { user: 'alice', node: 's3cret', ...DEFAULTS, ...script.config };
  const session = new Session(config, 0, {
    lastId: Number(lastId), acked,
    posts: posts.map((saved) => ({ id: Number(saved.id), message: read(saved), deadline: saved.deadline })),
  });
  script.steps.forEach((step, index) => {
    const { at, random = 0 } = step;
    const got = {};
    const submit = (request) => {
      try {
        const deadline = step.within === undefined ? undefined : at + step.within;
        got.id = session.submit(at, request(), deadline);
      } catch (error) {
        got.refused = kind(error);
      }
    };
    const inputs = {
      start() {},
      connected: () => session.connected(at),
      received: () => session.received(at, read(step), random),
      heard: () => session.heard(at),
      lost: () => session.lost(at, new LostError('script'), random),
      timeout: () => session.timedOut(at, random),
      cannotPing: () => session.cannotPing(),
      post: () => submit(() => post(step.to, step.data, step.etc, step.noNodes)),
      ping: () => submit(() => ping(step.alias, step.data, step.etc)),
      list: () => submit(() => listEdit(step.list, step.edit, step.members, step.data, step.etc)),
      aliases: () => submit(() => aliases(step.aliases.split(' '))),
      ack: () => step.ids.forEach((id) => session.ack(id)),
      release: () => session.release(step.id),
      kept: () => session.kept(Number(step.id)),
      notKept: () => session.kept(Number(step.id), new DiskError('script')),
      remembered: () => session.remembered(step.id),
      close: () => session.end(new ClosedError()),
    };
    inputs[step.do]();
    const events = session.takeEvents().map(told);
    if (events.length) got.events = events;
    const send = [];
    for (let bytes; (bytes = session.pollTransmit(at));) send.push(written(bytes));
    if (send.length) got.send = send;
    got.phase = session.phase.at;
    if (session.phase.at === 'ended') got.ended = kind(session.phase.why);
    got.timeout = session.nextTimeout() ?? null;
    assert.deepEqual(asStrings(json(got)), asStrings(step.expect), `step ${index}: ${JSON.stringify(step)}`);
  });
}

/** Ids are numbers in one client and texts in another. */
function asStrings(expect) {
  const ids = ['id', 'settled', 'discard'];
  return JSON.parse(JSON.stringify(expect), (key, value) =>
    ids.includes(key) && typeof value === 'number' ? String(value) : value);
}

for (const file of files) {
  for (const script of JSON.parse(readFileSync(new URL(file, folder))).scripts) {
    test(`${file}: ${script.name}`, () => run(script));
  }
}
