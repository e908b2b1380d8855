// Pictures of every view, in light, dark and on a phone: node pictures.mjs FOLDER

import { join } from 'node:path';
import { Browser, Page, people, start } from './scene.mjs';

const [folder = 'pictures'] = process.argv.slice(2);
const { server, token } = await start();
const bob = await people(server);
const browser = await Browser.start();
const posting = setInterval(() => bob.post({ bob: 3 }, 'x'.repeat(100)).catch(() => {}), 5);
const page = await Page.open(browser, server.adminUrl);
await page.size(1200, 740);
await page.login('wrong');
await page.shows('That is not the token.');
await page.picture(join(folder, 'light-login-wrong.png'));
await page.login(token);
await page.heading('Overview');
const { messages } = await page.run(`fetch('/api/v1/users/alice/nodes/0/queue', { headers: { 'x-session-key': localStorage.getItem('session-key') } }).then((r) => r.json())`);
// Until there is something to plot.
await new Promise((resolve) => setTimeout(resolve, Number(process.env.WAIT ?? 20_000)));

const [text, bytes] = messages.filter(({ op }) => op === 'deliver');
const views = {
  overview: ['#/', 'Overview'],
  users: ['#/users', 'Users'],
  user: ['#/user/alice', 'alice'],
  lists: ['#/lists', 'Lists'],
  list: ['#/list/team', 'team'],
  queue: ['#/queue/alice/0', 'Queue of alice,0'],
  message: [`#/message/alice/0/${text.id}`, `Message ${text.id}`],
  bytes: [`#/message/alice/0/${bytes.id}`, `Message ${bytes.id}`],
  inactive: ['#/inactive?inactive=1d', 'Inactive nodes'],
  events: ['#/events', 'Events'],
  invite: ['#/invite', 'Invite'],
  delete: ['#/user/alice', 'alice'],
  purge: ['#/queue/alice/0', 'Queue of alice,0'],
};
for (const [look, width, height, dark] of [['light', 1200, 900, false], ['dark', 1200, 900, true], ['phone', 360, 740, false], ['phone-dark', 360, 740, true]]) {
  await page.size(width, height, width < 500);
  await page.look({ dark });
  for (const [name, [hash, heading]] of Object.entries(views)) {
    await page.view(hash, heading);
    if (name === 'invite') {
      await page.click('Make');
      await page.shows('mqi_');
    }
    const dialog = { delete: 'Delete…', purge: 'Purge…' }[name];
    if (dialog) await page.click(dialog);
    const tall = await page.run('document.scrollingElement.scrollHeight');
    if (!dialog) await page.size(width, Math.max(height, Math.min(tall, 2400)), width < 500);
    await page.picture(join(folder, `${look}-${name}.png`));
    await page.size(width, height, width < 500);
    if (dialog) await page.key('Escape');
    // What was said of one view is not to be in the next one's picture.
    await page.run("document.querySelector('#told').textContent = ''");
  }
}
await page.run('localStorage.clear()');
await page.goto('about:blank');
await page.goto(server.adminUrl);
await page.heading('Log in');
for (const [look, width, dark] of [['light', 1200, false], ['phone-dark', 360, true]]) {
  await page.size(width, 740, width < 500);
  await page.look({ dark });
  await page.picture(join(folder, `${look}-login.png`));
}
clearInterval(posting);
if (page.wrong.length) console.log(page.wrong);
await bob.close();
await browser.kill();
await server.stop();
process.exit(page.wrong.length ? 1 : 0);
