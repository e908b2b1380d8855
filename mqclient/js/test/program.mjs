// A program of Node's, watched by its output.

import { spawn } from 'node:child_process';
import './many.mjs';
import { fileURLToPath } from 'node:url';
import { until } from './server.mjs';

export class Program {
  #child;
  output = '';

  /** Starts `path`, relative to the package, in the folder `cwd`. */
  constructor(cwd, path, ...args) {
    this.path = path;
    const file = fileURLToPath(new URL(`../${path}`, import.meta.url));
    this.#child = spawn(process.execPath, [file, ...args], { cwd, stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.on('data', (data) => (this.output += data));
    this.exit = new Promise((resolve) => this.#child.once('exit', resolve));
    process.on('exit', () => this.#child.kill('SIGKILL'));
  }

  /** Waits until it has printed this. */
  async prints(what) {
    const found = () => (what instanceof RegExp ? what.test(this.output) : this.output.includes(what));
    await until(found, `${what} of ${this.path}`).catch((error) => {
      throw new Error(`${error.message}: ${this.output}`);
    });
  }

  lines(pattern) {
    return this.output.split('\n').filter((line) => pattern.test(line));
  }

  types(line) {
    this.#child.stdin.write(`${line}\n`);
  }

  async kill() {
    this.#child.kill('SIGKILL');
    await this.exit;
  }
}
