// The size of the client in a browser, minified and gzipped; fails if it is over the limit.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/** Of what a bundler takes for `connect`, with the outbox, in bytes. */
const LIMIT = 9 * 1024;

const resolveDir = join(dirname(fileURLToPath(import.meta.url)), '..');
const size = async (what) => {
  const contents = `export ${what} from './dist/esm/browser.js'`;
  const { outputFiles: [{ contents: bundle }] } = await build({
    stdin: { contents, resolveDir }, bundle: true, minify: true, format: 'esm', target: 'es2022', write: false,
  });
  const zipped = gzipSync(bundle, { level: 9 }).length;
  console.log(`${what}: ${bundle.length} bytes, ${zipped} gzipped`);
  return zipped;
};

await size('*');
const connect = await size('{ connect }');
if (connect > LIMIT) {
  console.error(`connect is over the limit of ${LIMIT} bytes`);
  process.exit(1);
}
