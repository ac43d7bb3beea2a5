// What the servers of this folder have in common: how they answer, are controlled by tests, start and end.
//
// stdout carries one line of JSON, when a server is ready, and nothing else. When stdin ends, the server exits:
// so it never outlives a test process that was killed.

import { createHash } from 'node:crypto';

export function answer(res, status, body, headers = {}) {
  res.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', ...headers });
  res.end(JSON.stringify(body));
}

// The whole body is read before any answer, a refusal too: the connection stays usable, and the digest shows
// what a replay really sent.
export async function readWhole(req) {
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of req) {
    hash.update(chunk);
    length += chunk.length;
  }
  return { length, sha256: hash.digest('hex') };
}

// Call one of the controls, functions by "METHOD /path"; return whether the request is for them.
export function control(controls, req, res, url) {
  const name = `${req.method} ${url.pathname}`;
  if (!(name in controls)) return false;
  try {
    answer(res, 200, controls[name](url.searchParams) ?? null);
  } catch (error) {
    answer(res, 400, { error: String(error) });
  }
  return true;
}

export function wholeNumber(query, name, least) {
  const value = Number(query.get(name));
  if (!Number.isSafeInteger(value) || value < least) throw new RangeError(`${name}: a whole number from ${least}`);
  return value;
}

// Listen on a port that's free; return the URL.
export function listen(server, scheme = 'http') {
  // Longer than any test: a connection closed just as a client reuses it would fail the test by chance.
  server.keepAliveTimeout = 10 * 60 * 1000;
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(`${scheme}://127.0.0.1:${server.address().port}`));
  });
}

export function ready(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

const ENDPOINTS = ['authorization', 'token', 'device_authorization', 'introspection', 'revocation', 'userinfo'];

// The endpoints by the names that they have in Python.
export function urlsOf(provider, names = ENDPOINTS) {
  return Object.fromEntries(names.map((name) => [`${name}_url`, provider.urlFor(name)]));
}

// Notices of libraries go through console.info to stdout, which belongs to the ready line.
export function exitWithStdin() {
  console.info = console.error;
  console.log = console.error;
  process.stdin.on('end', () => process.exit(0)).resume();
}

export async function loadProvider() {
  exitWithStdin();
  return import('oidc-provider');
}
