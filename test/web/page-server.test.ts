/** The page's server: its files, the events, and the bounds on who listens. */
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitFor } from '../../lib/netns/wait.ts';
import { HttpListener } from '../../lib/web/http-listener.ts';
import { UiFeed } from '../../lib/web/ui/feed.ts';
import type { UiSnapshot } from '../../lib/web/ui/model.ts';
import { MAX_LISTENERS, MAX_WAITING_BYTES, PageServer } from '../../lib/web/ui/page-server.ts';
import { openConnection, request, sendRaw, statusOfAnswer } from './raw-http.ts';

let feed: UiFeed;
let listener: HttpListener;
beforeEach(async () => {
  feed = new UiFeed(
    { title: 'test', subtitle: '', state: 'live', clock: 'run', views: [], viewsNote: '', charts: [] },
    () => ({ summary: [], routes: {}, flows: null }),
  );
  listener = await HttpListener.open({ host: '127.0.0.1', port: 0 }, new PageServer(feed).routes);
});
afterEach(() => {
  listener.close();
});

const ask = (
  path: string,
  headers: Readonly<Record<string, string>> = {},
  method = 'GET',
): Promise<string> => {
  const { port } = listener.address;
  return sendRaw(port, request(`${method} ${path}`, { Host: `127.0.0.1:${port}`, ...headers }));
};

/** A connection that listens to the events. */
async function listen() {
  const { port } = listener.address;
  const socket = await openConnection(port);
  socket.write(request('GET /events', { Host: `127.0.0.1:${port}` }));
  return socket;
}

describe('the page server', () => {
  it.each([
    ['/', 'text/html'],
    ['/page.css', 'text/css'],
    ['/main.js', 'text/javascript'],
    ['/chart.js', 'text/javascript'],
    ['/uplot.js', 'text/javascript'],
    ['/uplot.css', 'text/css'],
    ['/icon.svg', 'image/svg+xml'],
    ['/data.json', 'application/json'],
  ])('has %s', async (path, type) => {
    const answer = await ask(path);
    expect(statusOfAnswer(answer)).toBe(200);
    expect(answer).toContain(`Content-Type: ${type}`);
  });

  it('needs nothing that a strict policy forbids: no inline scripts, styles or handlers, no other servers', async () => {
    const html = await ask('/');
    expect(html).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|https?:\/\//);
  });

  it.each(['/tsconfig.json', '/index.html', '/../page/main.js', '/..%2fui/feed.ts', '/uplot', '/main.js/'])(
    'has nothing at %s',
    async (path) => {
      expect(statusOfAnswer(await ask(path))).toBe(404);
    },
  );

  it('does not send a file again that has not changed', async () => {
    const tag = /ETag: (\S+)/.exec(await ask('/main.js'))?.[1] ?? '';
    expect(statusOfAnswer(await ask('/main.js', { 'If-None-Match': tag }))).toBe(304);
  });

  it('tells a listener everything, and then what is new', async () => {
    feed.addRow({ t: 1, values: { a: 1 } });
    const socket = await listen();
    let heard = '';
    socket.setEncoding('utf8').on('data', (text: string) => (heard += text));
    await waitFor('the snapshot', () => (heard.includes('event: snapshot') ? true : undefined));
    feed.addRow({ t: 2, values: { a: 2 } });
    await waitFor('the row', () => (heard.includes('event: row') ? true : undefined));
    const [snapshot = '', row = ''] = [...heard.matchAll(/^data: (.*)$/gm)].map(([, data]) => data);
    expect((JSON.parse(snapshot) as UiSnapshot).history).toEqual({ t: [1], columns: { a: [1] } });
    expect(JSON.parse(row)).toEqual({ t: 2, values: { a: 2 } });
    socket.destroy();
    await waitFor('the end', () => (feed.isWatched ? undefined : true));
  });

  it('lets only so many listen, and others again when one has gone', async () => {
    const sockets = await Promise.all(Array.from({ length: MAX_LISTENERS }, () => listen()));
    await Promise.all(sockets.map((socket) => once(socket, 'data')));
    expect(statusOfAnswer(await ask('/events'))).toBe(503);
    expect(statusOfAnswer(await ask('/events', {}, 'HEAD'))).toBe(503);
    for (const socket of sockets) socket.destroy();
    await waitFor('room', () => (feed.isWatched ? undefined : true));
    expect(statusOfAnswer(await ask('/events', {}, 'HEAD'))).toBe(200);
  });

  it('lets a listener go that does not read', async () => {
    const socket = await listen();
    await once(socket, 'data');
    socket.pause();
    const text = 'x'.repeat(100_000);
    let told = 0;
    await waitFor('the listener is let go', () => {
      for (let i = 0; i < 10; i++) feed.addEvents([{ time: told++, level: 'info', text }]);
      return feed.isWatched ? undefined : true;
    });
    // What the kernel's buffers take, and no more than a message beyond what may wait here.
    expect(told * text.length).toBeLessThan(MAX_WAITING_BYTES + 50e6);
    socket.destroy();
  });
});
