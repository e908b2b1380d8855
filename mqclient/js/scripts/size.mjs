// The size of the browser bundle; fails if it is over the aim.

import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

/** In bytes, minified and gzipped. */
const AIM = 8 * 1024;

const bundle = readFileSync(new URL('../dist/browser.min.js', import.meta.url));
const size = gzipSync(bundle, { level: 9 }).length;
console.log(`browser.min.js: ${bundle.length} bytes, ${size} gzipped; the aim is ${AIM}`);
if (size > AIM) process.exit(1);
