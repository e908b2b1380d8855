// The admin page in a real Chromium, against a real server.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, beforeEach, afterEach, test } from 'node:test';
import { serve } from '../../../mqclient/js/test/browser/browser.mjs';
import { register } from '../../../mqclient/js/dist/esm/node.js';
import { until } from '../../../mqclient/js/test/server.mjs';
import { Browser, EVIL, Page, adminToken, connect, crowd, people, start } from './scene.mjs';

let server, token, browser, bob, page;
before(async () => {
  ({ server, token } = await start());
  bob = await people(server);
  browser = await Browser.start();
});
after(async () => {
  await bob?.close();
  await Promise.all([server?.stop(), browser?.kill()]);
});

/** What the page may be refused in a test. */
let expected = [];
beforeEach(async () => {
  expected = [];
  page = await Page.open(browser, server.adminUrl);
  await page.login(token);
  await page.heading('Overview');
});
afterEach(async () => {
  const { wrong, refused } = page;
  await page.run('localStorage.clear()');
  await page.close();
  assert.deepEqual(wrong, []);
  assert.deepEqual(refused.filter((one) => !expected.some((pattern) => pattern.test(one))), []);
});

/** Asks without a browser. */
const ask = (path, { method = 'GET', headers = {}, body } = {}, at = server.adminUrl) => new Promise((resolve, reject) => {
  const sent = request(new URL(path, at), { method, headers }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (data) => (text += data));
    response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text, json: () => JSON.parse(text) }));
  });
  sent.on('error', reject).end(body);
});
const bearer = () => ({ authorization: `Bearer ${token}` });

/** Asks the server for a user, as a script does. */
const user = async (name) => (await ask(`api/v1/users/${encodeURIComponent(name)}`, { headers: bearer() })).json();

test('every view shows what the server has', async () => {
  for (const text of ['Nodes online', 'Messages waiting', 'Post to ack', 'Journal', 'free of']) await page.shows(text);
  await page.view('#/users', 'Users');
  for (const text of ['alice', 'ally, al', 'bob', 'carol', '1 online']) await page.shows(text);
  await page.view('#/user/alice', 'alice');
  for (const text of ['team', 'alice,0', 'alice,1', 'messages', 'KiB', 'enabled']) await page.shows(text);
  await page.view('#/queue/alice/0', 'Queue of alice,0');
  await page.shows('bob');
  await page.shows('195 KiB');
  await page.view('#/lists', 'Lists');
  for (const text of ['news', 'team']) await page.shows(text);
  await page.view('#/list/team', 'team');
  for (const text of ['Members (3 users)', 'Invited (1 user)', 'carol']) await page.shows(text);
  await page.view('#/inactive', 'Inactive nodes');
  await page.view('#/events', 'Events');
  await page.view('#/invite', 'Invite');
  await page.view('#/nowhere', 'That did not work');
  expected = [/404/];
  await page.view('#/user/nobody', 'That did not work');
  await page.shows('There is no user nobody.');
});

test('a queue is read page by page, and a message as text, as bytes and whole', async () => {
  await page.view('#/queue/carol/0', 'Queue of carol,0');
  assert.equal(await page.run("document.querySelectorAll('tbody tr').length"), 100);
  await page.click('Next page »');
  await until(() => page.run("location.hash.includes('after=') && !document.querySelector('main[aria-busy]')"));
  await page.click('Next page »');
  await until(() => page.run("document.querySelectorAll('tbody tr').length < 100"));

  const { messages } = (await ask('api/v1/users/alice/nodes/0/queue', { headers: bearer() })).json();
  const posts = messages.filter(({ op }) => op === 'deliver');
  const shows = async ({ id }, body) => {
    await page.view(`#/message/alice/0/${id}`, `Message ${id}`);
    await page.shows(body);
  };
  await shows(posts[0], '<b>not bold</b>');
  await page.shows('"subject": "a greeting"');
  await shows(posts[1], '000000  00 ff 89 50 4e 47 0a');
  await shows(posts[4], 'Empty.');
  const large = posts.find(({ size }) => size > 200_000);
  await shows(large, 'That is its beginning.');
  // What a download gets.
  await page.run(`{ const was = URL.createObjectURL; URL.createObjectURL = (blob) => { globalThis.saved = blob; return was(blob); }; HTMLAnchorElement.prototype.click = () => {}; }`);
  await page.run("[...document.querySelectorAll('button')].find(({ textContent }) => textContent === 'Download').dispatchEvent(new Event('click'))");
  await until(() => page.run('globalThis.saved !== undefined'));
  assert.equal(await page.run("globalThis.saved.text().then((text) => text === 'x'.repeat(200_000))"), true);
  const whole = (await ask(`api/v1/users/alice/nodes/0/queue/${large.id}?raw=1`, { headers: bearer() })).text;
  assert.equal(whole, 'x'.repeat(200_000));
});

test('a user whose name is HTML is text in every view', async () => {
  const name = encodeURIComponent(EVIL);
  for (const [hash, heading] of [
    ['#/users', 'Users'], [`#/user/${name}`, EVIL], [`#/queue/${name}/0`, `Queue of ${EVIL},0`],
    ['#/list/team', 'team'], ['#/inactive', 'Inactive nodes'], [`#/users?search=${name}`, 'Users'],
  ]) {
    await page.view(hash, heading);
    assert.equal(await page.run("document.querySelectorAll('main img, main b').length"), 0, hash);
    if (!hash.includes('inactive')) await page.shows(EVIL);
  }
  assert.doesNotMatch(await page.run('document.title'), /harm/);
  // The browser itself refuses to take text for HTML.
  await assert.rejects(page.run("document.body.innerHTML = '<b>x</b>'"), /TrustedHTML/);
  page.wrong = page.wrong.filter((text) => !text.includes('TrustedHTML'));
});

test('users are searched for on the server while one types, by name and alias', async () => {
  await page.view('#/users', 'Users');
  await page.run("document.querySelector('#search').focus()");
  await page.type('caz');
  await until(() => page.run("document.querySelectorAll('tbody tr').length === 1"));
  await page.shows('carol');
  assert.equal(await page.run('location.hash'), '#/users?search=caz');
  assert.equal(await page.focused(), 'Search names and aliases');
  await page.type('zzz');
  await page.shows('0 users');
});

test('a user is disabled, enabled and deleted, after its name was typed', async () => {
  await register(server.url, { user: 'dave', node: 'dave-0' });
  await page.view('#/user/dave', 'dave');
  await page.click('Disable…');
  await page.click('Disable the user', 'dialog button');
  await page.shows('dave is disabled.');
  await assert.rejects(connect(server.url, { user: 'dave', node: 'dave-0' }));
  await page.heading('dave');
  await page.click('Enable');
  await page.shows('dave is enabled.');
  await (await connect(server.url, { user: 'dave', node: 'dave-0' })).close();

  await page.heading('dave');
  await page.click('Delete…');
  assert.equal(await page.run("document.querySelector('dialog .danger').disabled"), true);
  await page.type('dav');
  await page.key('Enter');
  assert.equal(await page.run("document.querySelector('dialog').open"), true);
  await page.type('e');
  await page.key('Enter');
  await page.shows('dave is deleted.');
  await page.heading('Users');
  assert.equal((await user('dave')).error !== undefined, true);
});

test('a node is dropped, and a queue purged', async () => {
  await page.view('#/user/alice', 'alice');
  await page.run("[...document.querySelectorAll('main .danger')].at(-1).click()");
  await page.type('alice,1');
  await page.key('Enter');
  await page.shows('alice,1 is dropped.');
  assert.deepEqual((await user('alice')).nodes.map(({ offset }) => offset), [0]);

  await page.view('#/queue/carol/0', 'Queue of carol,0');
  await page.click('Purge…');
  await page.type('carol,0');
  await page.key('Enter');
  await page.shows('purged.');
  await page.shows('Nothing waits.');
  assert.equal((await user('carol')).nodes[0].queued, 0);
});

test('what is asked before an action can be called off, and nothing happens', async () => {
  await page.view('#/user/bob', 'bob');
  await page.click('Delete…');
  await page.type('bob');
  await page.key('Escape');
  assert.equal(await page.run("document.querySelector('dialog').open"), false);
  assert.equal(await page.focused(), 'Delete…');
  assert.equal((await user('bob')).name, 'bob');
});

test('invitations are made, and let somebody register', async () => {
  await page.view('#/invite', 'Invite');
  await page.click('Make');
  await page.shows('mqi_');
  const invite = await page.run("document.querySelector('.tokens code').textContent");
  await register(server.url, { user: 'erin', node: 'erin-0', invite });
});

test('the log is shown as it goes on', async () => {
  await page.view('#/events', 'Events');
  assert.equal((await ask('api/v1/status', { headers: { authorization: 'Bearer wrong' } })).status, 401);
  await page.shows('a wrong admin token from=127.0.0.1');
  assert.doesNotMatch(await page.text(), new RegExp(token));
});

test('all can be done by keyboard', async () => {
  await page.tabTo('Users');
  await page.key('Enter');
  await page.heading('Users');
  await page.tabTo('Search names and aliases');
  await page.type('bobby');
  await until(() => page.run("document.querySelectorAll('tbody tr').length === 1"));
  await page.tabTo('bob');
  await page.key('Enter');
  await page.heading('bob');
  // Where the focus is can be seen, and goes on from the heading.
  await page.tabTo('Disable…');
  assert.notEqual(await page.run('getComputedStyle(document.activeElement).outlineStyle'), 'none');
  await page.tabTo('Delete…');
  await page.key('Enter');
  assert.match(await page.focused(), /Type bob to go on/);
  await page.type('nobody');
  await page.key('Enter');
  assert.equal(await page.run("document.querySelector('dialog').open"), true);
  await page.key('Tab');
  assert.equal(await page.focused(), 'Cancel');
  await page.key('Enter');
  assert.equal(await page.focused(), 'Delete…');
  await page.run('document.querySelector(".skip").focus()');
  await page.key('Enter');
  assert.equal(await page.run('document.activeElement.id'), 'main');
});

test('a phone has no sideways scroll in any view', async () => {
  await page.size(360, 740, true);
  const name = encodeURIComponent(EVIL);
  const { messages } = (await ask('api/v1/users/alice/nodes/0/queue', { headers: bearer() })).json();
  for (const [hash, heading] of [
    ['#/', 'Overview'], ['#/users', 'Users'], ['#/user/alice', 'alice'], [`#/user/${name}`, EVIL], ['#/lists', 'Lists'],
    ['#/list/team', 'team'], ['#/queue/alice/0', 'Queue of alice,0'], [`#/message/alice/0/${messages[0].id}`, `Message ${messages[0].id}`],
    ['#/inactive?inactive=1d', 'Inactive nodes'], ['#/events', 'Events'], ['#/invite', 'Invite'],
  ]) {
    await page.view(hash, heading);
    const { wide, room } = await page.run('({ wide: document.scrollingElement.scrollWidth, room: innerWidth })');
    assert.ok(wide <= room && room === 360, `${hash}: ${wide} in ${room}`);
  }
});

/** In the page: what is written in a colour too near to what is behind it (WCAG 2.2, 1.4.3). */
const faint = () => {
  const parse = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parse(colour).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return (parse(colour)[3] ?? 1) > 0 || !element.parentElement ? colour : behind(element.parentElement);
  };
  const written = [...document.querySelectorAll('body *')].filter((one) => one.checkVisibility() && !one.disabled
    && ([...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()) || one.matches('input, select')));
  return written.map((one) => {
    const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((x, y) => y - x);
    return [one.textContent, (a + 0.05) / (b + 0.05)];
  }).filter(([, contrast]) => contrast < 4.5);
};

test('what is written can be read, in the dark and in the light', async () => {
  for (const dark of [false, true]) {
    await page.look({ dark });
    for (const [hash, heading] of [['#/', 'Overview'], ['#/users', 'Users'], ['#/user/bob', 'bob'], ['#/queue/alice/0', 'Queue of alice,0'], ['#/events', 'Events'], ['#/invite', 'Invite']]) {
      await page.view(hash, heading);
      assert.deepEqual(await page.tab.call(faint), [], `${hash} ${dark ? 'dark' : 'light'}`);
    }
    await page.view('#/user/bob', 'bob');
    await page.click('Disable…');
    assert.deepEqual(await page.tab.call(faint), []);
    await page.key('Escape');
  }
});

test('the page says when the server is gone, and comes back by itself', async () => {
  expected = [/net::ERR/, /401/];
  await server.kill();
  await page.shows('The server does not answer.');
  await server.start();
  // Sessions do not outlive it.
  await page.login(token);
  await page.heading('Overview');
  assert.doesNotMatch(await page.text(), /does not answer/);
});

test('a hidden tab asks nothing', async () => {
  await page.run(`globalThis.asked = 0; const was = fetch; globalThis.fetch = (...args) => { asked++; return was(...args); }`);
  await until(() => page.run('asked > 0'));
  await page.run(`Object.defineProperty(document, 'hidden', { value: true, configurable: true }); asked = 0`);
  await new Promise((resolve) => setTimeout(resolve, 5000));
  assert.ok(await page.run('asked') <= 2);
  await page.run(`Object.defineProperty(document, 'hidden', { value: false }); asked = 0; document.dispatchEvent(new Event('visibilitychange'))`);
  await until(() => page.run('asked > 0'));
});

test('another site can neither ask nor read', async () => {
  const site = await serve();
  const tab = await browser.tab(site.url, false);
  const attempt = (path, options) => tab.run(`fetch(${JSON.stringify(new URL(path, server.adminUrl.replace('127.0.0.1', 'localhost')).href)}, ${JSON.stringify(options)})
    .then(({ status }) => status, (error) => error.name)`);
  // The same host, so that the cookie goes along: ports are one site.
  const local = await Page.open(browser, server.adminUrl.replace('127.0.0.1', 'localhost'));
  await local.login(token);
  await local.heading('Overview');
  assert.equal(await attempt('api/v1/users/bob', { credentials: 'include' }), 'TypeError');
  assert.equal(await attempt('api/v1/users/bob', { method: 'DELETE', credentials: 'include' }), 'TypeError');
  assert.equal(await attempt('api/v1/users/bob/disable', { method: 'POST', mode: 'no-cors', credentials: 'include' }), 'TypeError');
  let framed;
  browser.listen((method, params, from) => {
    if (from === tab.session && method === 'Log.entryAdded' && params.entry.text.includes('frame-ancestors')) framed = 'refused';
  });
  await browser.send('Log.enable', {}, tab.session);
  await tab.run(`{ const frame = document.createElement('iframe'); frame.src = ${JSON.stringify(server.adminUrl)}; document.body.append(frame); }`);
  await until(() => framed === 'refused', 'the frame to be refused');
  const { name, disabled } = await user('bob');
  assert.deepEqual([name, disabled], ['bob', false]);
  await local.run('localStorage.clear()');
  await Promise.all([local.close(), tab.close()]);
  site.close();
});

/** Logs in as a browser does; what its later requests need. */
async function session(at = server.adminUrl, secret = token, more = {}) {
  const origin = new URL(at).origin;
  const answer = await ask('api/v1/session', { method: 'POST', headers: { origin, ...more }, body: JSON.stringify({ token: secret }) }, at);
  if (answer.status !== 200) return { answer };
  const [cookie] = answer.headers['set-cookie'];
  return { answer, cookie, headers: { origin, cookie: cookie.split(';')[0], 'x-session-key': answer.json().key } };
}

test('a session needs its cookie and its key, and for what it changes the origin', async () => {
  const { headers, cookie } = await session();
  assert.match(cookie, /; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/);
  const status = async (path, method, change = {}) => (await ask(path, { method, headers: { ...headers, ...change } })).status;
  assert.equal(await status('api/v1/status', 'GET'), 200);
  assert.equal(await status('api/v1/status', 'GET', { cookie: '' }), 401);
  assert.equal(await status('api/v1/status', 'GET', { 'x-session-key': '' }), 401);
  assert.equal(await status('api/v1/users/erin/disable', 'POST', { origin: 'http://evil.example.org' }), 403);
  assert.equal(await status('api/v1/users/erin/disable', 'POST', { origin: 'http://127.0.0.1:1' }), 403);
  assert.equal(await status('api/v1/users/erin/disable', 'POST', { 'sec-fetch-site': 'cross-site' }), 403);
  assert.equal(await status('api/v1/users/erin/disable', 'POST', { 'x-session-key': 'wrong' }), 401);
  assert.equal(await status('api/v1/status', 'GET', { host: 'evil.example.org' }), 421);
  assert.equal(await status('', 'GET', { host: 'evil.example.org' }), 421);
  assert.equal(await status('health', 'GET', { host: 'monitor.example.org' }), 200);
  assert.equal((await user('erin')).disabled, false);
  assert.equal(await status('api/v1/users/erin/disable', 'POST'), 200);
  assert.equal((await user('erin')).disabled, true);
  assert.equal(await status('api/v1/session', 'DELETE'), 204);
  assert.equal(await status('api/v1/status', 'GET'), 401);
});

test('behind TLS the cookie never goes in clear', async () => {
  const at = server.adminUrl.replace('http', 'https');
  const origin = new URL(at).origin;
  const { headers } = await ask('api/v1/session', { method: 'POST', headers: { origin }, body: JSON.stringify({ token }) });
  assert.match(headers['set-cookie'][0], /; Secure$/);
});

test('every answer forbids what a browser could be talked into', async () => {
  for (const path of ['', 'app.js', 'api/v1/status', 'health', 'nowhere']) {
    const { headers } = await ask(path);
    assert.match(headers['content-security-policy'], /default-src 'none'; script-src 'self'.*frame-ancestors 'none'/, path);
    assert.doesNotMatch(headers['content-security-policy'], /unsafe/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['referrer-policy'], 'no-referrer');
    assert.equal(headers['cache-control'], 'no-store');
  }
});

test('who guesses waits, who knows the token does not, and nobody is let in without', async () => {
  for (const path of ['api/v1/status', 'api/v1/users', 'api/v1/events', 'api/v1/series', 'api/v1/nowhere', 'nowhere']) {
    assert.equal((await ask(path)).status, 401, path);
  }
  const begin = Date.now();
  const told = [];
  const guesses = Array.from({ length: 40 }, async () => {
    const { answer } = await session(server.adminUrl, 'mqa_00000000000000000000000000000000');
    told.push(answer.status);
  });
  const { answer } = await session();
  assert.equal(answer.status, 200);
  assert.ok(!told.includes(401), 'the right one waited for the wrong ones');
  await Promise.all(guesses);
  assert.ok(Date.now() - begin >= 1000);
  assert.deepEqual([...new Set(told)].sort(), [401, 429]);
  assert.equal(told.filter((status) => status === 401).length, 32);
});

test('a new token ends all sessions, at once', async () => {
  const { headers } = await session();
  assert.equal((await ask('api/v1/status', { headers })).status, 200);
  const old = token;
  token = adminToken(server.store, '--new');
  assert.notEqual(token, old);
  assert.equal(adminToken(server.store), token);
  assert.equal((await ask('api/v1/status', { headers })).status, 401);
  assert.equal((await ask('api/v1/status', { headers: { authorization: `Bearer ${old}` } })).status, 401);
  assert.equal((await ask('api/v1/status', { headers: bearer() })).status, 200);
  expected = [/401/];
  await page.heading('Log in');
  await page.shows('Your session has ended.');
});

test('with many users a view is a page of them, and each is found', async () => {
  const many = Number(process.env.USERS ?? 5000);
  await crowd(server, many);
  const took = async (what, act) => {
    const begin = performance.now();
    await act();
    console.log(`${what}, ${many} users: ${Math.round(performance.now() - begin)} ms`);
  };
  await took('the first page', () => page.view('#/users', 'Users'));
  assert.equal(await page.run("document.querySelectorAll('tbody tr').length"), 100);
  await took('the next page', async () => {
    await page.click('Next page »');
    await until(() => page.run("location.hash.includes('after=') && !document.querySelector('main[aria-busy]')"));
  });
  const last = `u${String(many - 1).padStart(7, '0')}`;
  await page.run("document.querySelector('#search').focus()");
  await took('a search', async () => {
    await page.type(last);
    await until(() => page.run(`document.querySelectorAll('tbody tr').length === 1 && document.querySelector('tbody').innerText.includes('${last}')`));
  });
  await took('inactive nodes', () => page.view('#/inactive?inactive=1d', 'Inactive nodes'));
});

test('the page is small', async () => {
  const { gzipSync } = await import('node:zlib');
  const files = ['', 'style.css', 'icon.svg', 'app.js', 'api.js', 'ask.js', 'browse.js', 'dom.js', 'events.js', 'inactive.js', 'invite.js', 'lists.js', 'overview.js', 'plot.js', 'queue.js', 'users.js'];
  let [raw, packed] = [0, 0];
  for (const file of files) {
    const { text } = await ask(file);
    raw += Buffer.byteLength(text);
    packed += gzipSync(text).length;
  }
  await page.goto(server.adminUrl);
  await page.heading('Overview');
  // A figure, not a promise; a paint is told of a frame later.
  const painted = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime";
  await until(() => page.run(`${painted} !== undefined`), 'the first paint', 5000).catch(console.log);
  console.log(`the page: ${raw} bytes, ${packed} gzipped; first paint after ${Math.round(await page.run(painted))} ms`);
  assert.ok(raw < 50_000, `${raw} bytes`);
});
