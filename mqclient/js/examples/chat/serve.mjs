// node serve.mjs [PORT]: serves the page and the package to browsers of this machine.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const files = {
  '/': ['page.html', 'text/html'],
  '/dist/browser.min.js': ['../../dist/browser.min.js', 'text/javascript'],
};
const server = createServer(({ url }, response) => {
  const [file, type] = files[new URL(url, 'http://localhost').pathname] ?? [];
  if (!file) return response.writeHead(404).end();
  response.writeHead(200, { 'content-type': type }).end(readFileSync(new URL(file, import.meta.url)));
});
server.listen(Number(process.argv[2] ?? 8000), 'localhost', () => console.log(`http://localhost:${server.address().port}/`));
