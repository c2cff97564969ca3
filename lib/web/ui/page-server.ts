/**
 * Serves the page: its files, which are read once, `/data.json`, which has everything as of now, and `/events`, server-sent
 * events that begin with everything and go on with what is new.
 *
 * Bounded: only so many listen at a time, and one that reads slower than it is told is let go. It comes back by itself and
 * begins anew.
 */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HttpHandler, HttpRoutes } from '../http-listener.ts';
import { refuse, sendBody } from '../http-listener.ts';
import type { UiFeed, UiListener } from './feed.ts';

/** Listeners at the same time. */
export const MAX_LISTENERS = 16;
/** Bytes that may wait for one listener; the first message has some hundred kB. */
export const MAX_WAITING_BYTES = 2 * 1024 * 1024;
/** A sign of life, so that neither end takes silence for an end, ms. */
const ALIVE_MS = 10_000;

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Serves one feed. */
export class PageServer {
  readonly #feed: UiFeed;
  #listeners = 0;

  constructor(feed: UiFeed) {
    this.#feed = feed;
  }

  /** The paths, for an HttpListener. */
  get routes(): HttpRoutes {
    return {
      ...pageFiles(),
      '/data.json': (request, response) => {
        sendBody(request, response, 'application/json', JSON.stringify(this.#feed.snapshot()));
      },
      '/events': (request, response) => {
        this.#listen(request, response);
      },
    };
  }

  #listen(request: IncomingMessage, response: ServerResponse): void {
    if (this.#listeners >= MAX_LISTENERS) {
      refuse(response, 503, `${MAX_LISTENERS} pages listen already`);
      return;
    }
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    const write = (text: string): void => {
      if (response.writableLength > MAX_WAITING_BYTES) response.destroy();
      else response.write(text);
    };
    const tell: UiListener = (name, message) => {
      write(`event: ${name}\ndata: ${JSON.stringify(message)}\n\n`);
    };
    this.#listeners++;
    const stop = this.#feed.subscribe(tell);
    const alive = setInterval(() => {
      write(': alive\n\n');
    }, ALIVE_MS);
    response.on('close', () => {
      this.#listeners--;
      clearInterval(alive);
      stop();
    });
    tell('snapshot', this.#feed.snapshot());
  }
}

/** The files of the page, and of the chart library beside it. */
function pageFiles(): HttpRoutes {
  const folder = fileURLToPath(new URL('../page/', import.meta.url));
  const uplot = join(dirname(createRequire(import.meta.url).resolve('uplot/package.json')), 'dist');
  const files = readdirSync(folder).filter((name) => Object.hasOwn(CONTENT_TYPES, extname(name)));
  const routes: Record<string, HttpHandler> = {
    '/uplot.js': fileHandler(join(uplot, 'uPlot.iife.min.js')),
    '/uplot.css': fileHandler(join(uplot, 'uPlot.min.css')),
  };
  for (const name of files)
    routes[name === 'index.html' ? '/' : `/${name}`] = fileHandler(join(folder, name));
  return routes;
}

function fileHandler(path: string): HttpHandler {
  const bytes = readFileSync(path);
  const tag = `"${createHash('sha256').update(bytes).digest('base64url')}"`;
  const type = CONTENT_TYPES[extname(path)] ?? 'application/octet-stream';
  return (request, response) => {
    response.setHeader('ETag', tag);
    response.setHeader('Cache-Control', 'no-cache');
    if (request.headers['if-none-match'] !== tag) {
      sendBody(request, response, type, bytes);
      return;
    }
    response.writeHead(304);
    response.end();
  };
}
