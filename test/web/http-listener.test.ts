/** What the HTTP listener answers, and all that it refuses. */
import { hostname, networkInterfaces } from 'node:os';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HttpListener, MAX_CONNECTIONS, MAX_HEAD_BYTES, sendBody } from '../../lib/web/http-listener.ts';
import { waitFor } from '../../lib/netns/wait.ts';
import { refuseConnections } from '../support/refuse-connections.ts';
import { openConnection, request, sendRaw, statusOfAnswer } from './raw-http.ts';

let listener: HttpListener;
let asked = 0;

beforeAll(async () => {
  listener = await HttpListener.open(
    { host: '127.0.0.1', port: 0 },
    {
      '/text': (of, response) => {
        asked++;
        sendBody(of, response, 'text/plain', 'hello\n');
      },
      '/defect': () => Promise.reject(new Error('a defect')),
    },
  );
});
afterAll(() => {
  listener.close();
});

const host = (): string => `127.0.0.1:${listener.address.port}`;
const ask = async (line: string, headers: Readonly<Record<string, string>> = {}): Promise<string> =>
  sendRaw(listener.address.port, request(line, { Host: host(), ...headers }));
const statusOf = async (line: string, headers: Readonly<Record<string, string>> = {}): Promise<number> =>
  statusOfAnswer(await ask(line, headers));

describe('an HTTP listener', () => {
  it('answers GET with the body and HEAD without, and forbids on both what a page could be misused for', async () => {
    const [get, head] = [await ask('GET /text?x=1'), await ask('HEAD /text')];
    expect(get).toMatch(/\r\n\r\nhello\n$/);
    expect(head).toMatch(/Content-Length: 6\r\n[^]*\r\n\r\n$/);
    for (const answer of [get, head]) {
      expect(statusOfAnswer(answer)).toBe(200);
      expect(answer).toContain("Content-Security-Policy: default-src 'none'; script-src 'self';");
      expect(answer).toContain("frame-ancestors 'none'");
      expect(answer).not.toContain('unsafe');
      expect(answer).toContain('X-Content-Type-Options: nosniff');
      expect(answer).toContain('X-Frame-Options: DENY');
      expect(answer).toContain('Cross-Origin-Resource-Policy: same-origin');
      expect(answer).not.toContain('Access-Control-Allow');
    }
  });

  it.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE'])('refuses %s', async (method) => {
    const answer = await ask(`${method} /text`);
    expect(statusOfAnswer(answer)).toBe(405);
    expect(answer).toContain('Allow: GET, HEAD');
  });

  it('goes on when a connection cannot be accepted', async () => {
    await refuseConnections(async () => statusOf('GET /text'));
    expect(await statusOf('GET /text')).toBe(200);
  });

  it('takes as Host its address, or localhost', async () => {
    const { port } = listener.address;
    expect(await statusOf('GET /text', { Host: `localhost:${port}` })).toBe(200);
    expect(await statusOf('GET /text', { Host: `LOCALHOST:${port}` })).toBe(200);
  });

  it.each([
    ['another name that points here', 'evil.example:PORT'],
    ['a name that begins with an address', '127.0.0.1.evil.example:PORT'],
    ['another address', '192.0.2.1:PORT'],
    ['another port', '127.0.0.1:1'],
    ['no port', '127.0.0.1'],
    ['credentials', 'user@127.0.0.1:PORT'],
    ["the machine's name, on loopback", `${hostname()}:PORT`],
    ['nothing', ''],
  ])('refuses as Host %s', async (_, text) => {
    const before = asked;
    const answer = await statusOf('GET /text', { Host: text.replace('PORT', String(listener.address.port)) });
    expect(answer).toBe(421);
    expect(asked).toBe(before);
  });

  it('refuses a request without Host', async () => {
    expect(
      statusOfAnswer(await sendRaw(listener.address.port, 'GET /text HTTP/1.1\r\nConnection: close\r\n\r\n')),
    ).toBe(400);
    expect(statusOfAnswer(await sendRaw(listener.address.port, 'GET /text HTTP/1.0\r\n\r\n'))).toBe(421);
  });

  it('takes its own origin, and links that somebody follows', async () => {
    expect(await statusOf('GET /text', { Origin: `http://${host()}` })).toBe(200);
    expect(await statusOf('GET /text', { 'Sec-Fetch-Site': 'same-origin' })).toBe(200);
    expect(
      await statusOf('GET /text', { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate' }),
    ).toBe(200);
  });

  it.each([
    ['another origin', { Origin: 'http://evil.example' }],
    ['another scheme', { Origin: 'https://127.0.0.1' }],
    ['an opaque origin', { Origin: 'null' }],
    ['an image of another site', { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors' }],
    ['another port of this machine', { 'Sec-Fetch-Site': 'same-site', 'Sec-Fetch-Mode': 'cors' }],
  ])('refuses %s', async (_, headers) => {
    expect(await statusOf('GET /text', headers)).toBe(403);
  });

  it.each([
    '/',
    '/text/',
    '/TEXT',
    '//text',
    '/../text',
    '/text/../../etc/passwd',
    '/%2e%2e/etc/passwd',
    '/text%00',
    '/constructor',
    '/__proto__',
    'http://127.0.0.1/text',
  ])('has nothing at %s', async (path) => {
    expect(await statusOf(`GET ${path}`)).toBe(404);
  });

  it('refuses bodies', async () => {
    expect(await statusOf('GET /text', { 'Content-Length': '5' })).toBe(413);
    expect(await statusOf('GET /text', { 'Transfer-Encoding': 'chunked' })).toBe(413);
    expect(await statusOf('GET /text', { 'Content-Length': '5', Expect: '100-continue' })).toBe(417);
  });

  it('refuses heads that are too long', async () => {
    expect(await statusOf('GET /text', { 'X-Long': 'x'.repeat(MAX_HEAD_BYTES) })).toBe(431);
    expect(await statusOf(`GET /${'x'.repeat(MAX_HEAD_BYTES)}`)).toBe(431);
  });

  it.each([
    ['no HTTP', 'hello\r\n\r\n'],
    ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['two lengths', 'GET /text HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    ['a header without a name', 'GET /text HTTP/1.1\r\n: x\r\n\r\n'],
    ['a line end in a path', 'GET /te\nxt HTTP/1.1\r\nHost: a\r\n\r\n'],
  ])('refuses %s, and goes on', async (_, bytes) => {
    expect(statusOfAnswer(await sendRaw(listener.address.port, bytes))).toBe(400);
    expect(await statusOf('GET /text')).toBe(200);
  });

  it('answers a defect of a handler with 500, and goes on', async () => {
    expect(await statusOf('GET /defect')).toBe(500);
    expect(await statusOf('GET /text')).toBe(200);
  });

  it('has only so many connections at a time', async () => {
    const sockets = await Promise.all(
      Array.from({ length: MAX_CONNECTIONS }, () => openConnection(listener.address.port)),
    );
    const late = await openConnection(listener.address.port);
    if (!late.destroyed) await once(late, 'close');
    for (const socket of sockets) socket.destroy();
    await waitFor('room again', async () => ((await statusOf('GET /text')) === 200 ? true : undefined));
  });

  it('says which address it cannot have', async () => {
    await expect(HttpListener.open(listener.address, {})).rejects.toThrow(
      `${host()}: cannot listen there (EADDRINUSE)`,
    );
  });

  it('on other addresses takes these and the name of the machine as Host', async () => {
    const everywhere = await HttpListener.open(
      { host: '0.0.0.0', port: 0 },
      { '/text': (of, response) => sendBody(of, response, 'text/plain', 'hello\n') },
    );
    const { port } = everywhere.address;
    const own = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
    const status = async (at: string, name: string): Promise<number> =>
      statusOfAnswer(await sendRaw(port, request('GET /text', { Host: `${name}:${port}` }), at));
    try {
      expect(await status('127.0.0.1', 'localhost')).toBe(200);
      expect(await status('127.0.0.1', 'evil.example')).toBe(421);
      if (own === undefined) return; // a machine without a network has loopback only
      expect(await status(own, own)).toBe(200);
      expect(await status(own, hostname())).toBe(200);
      expect(await status(own, 'localhost')).toBe(421);
      expect(await status(own, 'evil.example')).toBe(421);
    } finally {
      everywhere.close();
    }
  });
});
