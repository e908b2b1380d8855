// The package as npm makes it, installed in an empty folder.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { folder, Server } from './server.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

test('the package is installed, imported both ways, and type-checked', async () => {
  const run = (command, args, options) => {
    try {
      return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options });
    } catch (error) {
      error.message += error.stdout;
      throw error;
    }
  };
  const work = folder();
  const packed = run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', work], { cwd: root });
  const [{ filename, files }] = JSON.parse(packed);
  const paths = files.map(({ path }) => path);
  assert.ok(paths.includes('README.md') && paths.includes('dist/esm/node.d.ts'));
  assert.deepEqual(paths.filter((path) => !/^(dist\/|README\.md$|package\.json$)/.test(path)), []);
  writeFileSync(join(work, 'package.json'), '{"private":true}');
  run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', `./${filename}`], { cwd: work });

  // One program as an ES module and as CommonJS.
  const server = await Server.start();
  const program = `
    const user = process.argv[3];
    (async () => {
      await register(process.argv[2], { user, node: user });
      const client = await connect(process.argv[2], { user, node: user });
      await client.post(user, 'hello');
      for await (const message of client) {
        console.log(message.text);
        await message.ack();
        break;
      }
      await client.close();
      const classic = old.connect(process.argv[2]);
      classic.login(user, user, (error, { info }) => { console.log(info); classic.close(); });
    })();`;
  writeFileSync(join(work, 'a.mjs'), `import { connect, register } from 'websocket-mq'; import * as old from 'websocket-mq/classic';${program}`);
  writeFileSync(join(work, 'b.cjs'), `const { connect, register } = require('websocket-mq'); const old = require('websocket-mq/classic');${program}`);
  assert.equal(run('node', ['a.mjs', server.url, 'ann'], { cwd: work }), 'hello\nok login\n');
  assert.equal(run('node', ['b.cjs', server.url, 'bob'], { cwd: work }), 'hello\nok login\n');
  await server.stop();

  // And what the compiler says of one in TypeScript, of both kinds, and for browsers.
  const typed = `import { connect, type Message, type MqError, register } from 'websocket-mq';
    import { connect as classic } from 'websocket-mq/classic';
    export async function run(url: string): Promise<string> {
      const { node } = await register(url, { user: 'u' });
      const client = await connect(url, { user: 'u', node, outbox: FILE });
      client.on('error', (why: MqError) => why.code === 'TakenOver');
      const { failed, msgid } = await client.post(['bob', '@team'], new Uint8Array(3), { etc: [1], deadline: 1000 });
      await client.post({ bob: 1, team: 3, x: true });
      for await (const message of client) {
        const same: Message = message;
        await same.ack();
      }
      classic(url).on('deliver', ({ id, text }) => text + id);
      return (failed['bob'] ?? '') + msgid;
    }`;
  const bad = "import { connect } from 'websocket-mq'; connect('', { user: 1 }).then((c) => c.post({ bob: 7 }));";
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const check = (file, text, ...options) => {
    writeFileSync(join(work, file), text);
    run('node', [tsc, '--noEmit', '--skipLibCheck', 'false', '--strict', '--target', 'es2022', ...options, file], { cwd: work });
  };
  const node = ['--module', 'nodenext'];
  check('a.mts', typed.replace('FILE', "'./outbox'"), ...node);
  check('b.cts', typed.replace('FILE', "'./outbox'"), ...node);
  const browser = ['--module', 'esnext', '--moduleResolution', 'bundler', '--customConditions', 'browser', '--lib', 'es2022,dom'];
  check('c.ts', typed.replace('FILE', 'true'), ...browser);
  assert.throws(() => check('d.mts', bad, ...node), ({ stdout }) => /TS2322/.test(stdout) && /'7'/.test(stdout));
  assert.match(readFileSync(join(work, 'node_modules/websocket-mq/dist/browser.min.js'), 'utf8'), /export\{/);
});
