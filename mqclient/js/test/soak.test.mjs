// The fault program, in a small size.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const soak = fileURLToPath(new URL('../scripts/soak.mjs', import.meta.url));

for (const more of [[], ['--outbox']]) {
  test(`500 posts and 2 kills: each stored once, in order${more.length ? ', with outboxes' : ''}`, () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [soak, '--posts', '500', '--rate', '0', '--kills', '2', ...more],
      { encoding: 'utf8', timeout: 60_000 });
    assert.equal(status, 0, stdout + stderr);
    assert.match(stdout, /500 posts in .* 2 kills: 500 acked, 500 received in order/);
  });
}
