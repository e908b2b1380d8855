// A real server on a folder of its own, to be killed and started again on the same port.

import { execFileSync, spawn } from 'node:child_process';
import './many.mjs';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const target = fileURLToPath(new URL('../../../target/', import.meta.url));

/** The server's binary: MQSERVER says, or the release build, or the debug build. */
export function binary() {
  const found = [process.env.MQSERVER, join(target, 'release/mqserver'), join(target, 'debug/mqserver')]
    .find((path) => path && existsSync(path));
  if (!found) throw new Error('no mqserver: set MQSERVER to its path, or run `cargo build -p mqserver`');
  return found;
}

/** A folder that goes when the process ends. */
export function folder() {
  const path = mkdtempSync(join(tmpdir(), 'websocket-mq-'));
  process.on('exit', () => rmSync(path, { recursive: true, force: true }));
  return path;
}

export class Server {
  #child;
  #addresses = [];

  constructor({ tls = false, admin = false } = {}) {
    this.store = folder();
    this.tls = tls;
    this.admin = admin;
    if (tls) execFileSync(binary(), ['cert', '--store', this.store, '--name', 'localhost'], { stdio: 'ignore' });
    process.on('exit', () => this.#child?.kill('SIGKILL'));
  }

  static async start(options) {
    const server = new Server(options);
    await server.start();
    return server;
  }

  /** Where it listens; the same after a restart. */
  get url() {
    return `ws://${this.#addresses[0]}`;
  }

  /** Where it listens for TLS. */
  get tlsUrl() {
    return `wss://localhost:${this.#addresses[1].split(':').pop()}`;
  }

  /** Where the admin page is. */
  get adminUrl() {
    return `http://${this.#addresses.at(-1)}/`;
  }

  get pid() {
    return this.#child?.pid;
  }

  async start() {
    const [plain = '127.0.0.1:0', secure = '127.0.0.1:0'] = this.#addresses;
    const page = this.admin ? (this.#addresses.at(-1) ?? '127.0.0.1:0') : 'off';
    const args = ['--store', this.store, '--admin', page, '--listen', plain, ...(this.tls ? ['--listen-tls', secure] : [])];
    // A port that was let go may take a moment.
    for (let tries = 20; ; tries--) {
      const child = spawn(binary(), args, { stdio: ['ignore', 'pipe', 'pipe'] });
      const wanted = 1 + this.tls + this.admin;
      let output = '';
      const addresses = await new Promise((resolve) => {
        for (const stream of [child.stdout, child.stderr]) {
          stream.on('data', (data) => {
            output += data;
            const found = [...output.matchAll(/(?:listening|listening with TLS|admin) on (\S+:\d+)/g)].map(([, address]) => address);
            if (found.length >= wanted) resolve(found);
          });
        }
        child.on('exit', () => resolve(undefined));
      });
      if (addresses) {
        this.#child = child;
        // A test that fails does not stop it, and is not to wait for it.
        for (const part of [child, child.stdout, child.stderr]) part.unref();
        this.#addresses = addresses;
        return;
      }
      if (tries === 0) throw new Error(`the server does not start: ${output}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** It does nothing any more, and its connections stay. */
  pause() {
    this.#child.kill('SIGSTOP');
  }

  /** As a power cut ends it, but for the disk. */
  kill() {
    return this.#end('SIGKILL');
  }

  stop() {
    return this.#end('SIGTERM');
  }

  async #end(signal) {
    const child = this.#child;
    if (!child) return;
    this.#child = undefined;
    child.ref();
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Settles as `promise` does, if it does in time. */
export function inTime(promise, what = 'it', ms = 20_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Waits until `holds()` does. */
export async function until(holds, what = String(holds), ms = 20_000) {
  const end = Date.now() + ms;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await sleep(5);
  }
}
