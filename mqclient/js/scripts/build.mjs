// Builds dist/: ES modules and types by tsc, CommonJS and the browser bundle by esbuild.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'));
rmSync('dist', { recursive: true, force: true });
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
execFileSync(process.execPath, [tsc], { stdio: 'inherit' });

await build({
  entryPoints: ['dist/esm/node.js', 'dist/esm/classic-node.js'],
  outdir: 'dist/cjs', bundle: true, platform: 'node', target: 'node18', format: 'cjs', external: ['ws'], logLevel: 'warning',
});
writeFileSync('dist/cjs/package.json', '{"type":"commonjs"}\n');
// The same declarations, which say CommonJS by where they are.
mkdirSync('dist/cjs', { recursive: true });
cpSync('dist/esm', 'dist/cjs', {
  recursive: true,
  filter: (path) => !/\.[cm]?js$/.test(path),
});

await build({
  entryPoints: ['dist/esm/browser.js'],
  outfile: 'dist/browser.min.js', bundle: true, minify: true, platform: 'browser', target: 'es2022', format: 'esm',
  logLevel: 'warning',
});
