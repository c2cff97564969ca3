/**
 * An HTTP server for a few fixed paths that are only read: metrics, the web page. Everything else is refused before it
 * costs anything, because what listens here also forwards packets.
 *
 * ```
 * connection   at most MAX_CONNECTIONS; closed when it says nothing, or takes nothing, for IDLE_MS
 * request      headers of 8 KiB within 5 s (431, 408); no body (413); GET and HEAD only (405)
 * Host         an address this socket has, `localhost` on loopback, or this machine's name: nothing else (421), so that
 *              no foreign name can be made to point here (DNS rebinding)
 * Origin       none, or this one; no requests that another site's page makes (403)
 * path         one of the table, compared as a whole (404): there is no file system behind it
 * ```
 */
import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { PreflexError } from '../errors.ts';
import type { ListenAddress } from '../runtime/listen-address.ts';
import { formatListenAddress } from '../runtime/listen-address.ts';

/** Answers a request that was not refused. */
export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void> | void;

/** Handlers by path. */
export type HttpRoutes = Readonly<Record<string, HttpHandler>>;

/** Connections at the same time. */
export const MAX_CONNECTIONS = 64;
/** Largest request head, bytes. */
export const MAX_HEAD_BYTES = 8192;
const HEAD_MS = 5000;
const REQUEST_MS = 10_000;
const IDLE_MS = 30_000;
const KEEP_ALIVE_MS = 5000;

/** On every answer: no scripts, styles, frames or connections but this server's own. */
const HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

/** A listening server. */
export class HttpListener {
  /** Where it listens; with the port that the kernel chose, where 0 was asked for. */
  readonly address: ListenAddress;
  readonly #server: Server;
  readonly #routes: HttpRoutes;

  /**
   * Listens.
   *
   * @throws PreflexError ERR_SYSTEM when the address cannot be had
   */
  static async open(address: ListenAddress, routes: HttpRoutes): Promise<HttpListener> {
    const server = createServer({
      maxHeaderSize: MAX_HEAD_BYTES,
      headersTimeout: HEAD_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: 1000,
    });
    server.maxConnections = MAX_CONNECTIONS;
    server.timeout = IDLE_MS;
    server.listen(address.port, address.host);
    try {
      await once(server, 'listening');
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      const what = `${formatListenAddress(address)}: cannot listen there (${code})`;
      throw new PreflexError('ERR_SYSTEM', what, { cause });
    }
    return new HttpListener(server, routes);
  }

  private constructor(server: Server, routes: HttpRoutes) {
    const { address, port } = server.address() as AddressInfo;
    this.address = { host: address, port };
    this.#server = server;
    this.#routes = routes;
    // A connection could not be accepted; whoever asked tries again.
    server.on('error', () => undefined);
    server.on('request', (request, response) => {
      this.#answer(request, response);
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
      refuseUnparsed(error, socket);
    });
    // Nobody is told to go on with a body.
    for (const event of ['checkContinue', 'checkExpectation'] as const) {
      server.on(event, (_, response) => {
        refuse(response, 417, 'a request has no body');
      });
    }
  }

  /** `http://ADDRESS:PORT`. */
  get url(): string {
    return `http://${formatListenAddress(this.address)}`;
  }

  /** Ends all connections. */
  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    // Errors of a peer that went away: there is nobody to tell.
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    const { method, headers } = request;
    if (method !== 'GET' && method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      refuse(response, 405, 'only GET and HEAD');
    } else if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0) {
      refuse(response, 413, 'a request has no body');
    } else if (!isOwnHost(request)) {
      refuse(response, 421, 'this is not the server of that Host');
    } else if (!isOwnOrigin(request)) {
      refuse(response, 403, 'not for pages of other origins');
    } else {
      const [path = ''] = (request.url ?? '').split('?', 1);
      const handler = Object.hasOwn(this.#routes, path) ? this.#routes[path] : undefined;
      if (handler === undefined) refuse(response, 404, 'nothing is here');
      else void run(handler, request, response);
    }
  }
}

/** Sends a whole answer; without its body for HEAD. */
export function sendBody(
  request: IncomingMessage,
  response: ServerResponse,
  contentType: string,
  body: string | Uint8Array,
): void {
  response.setHeader('Content-Type', contentType);
  response.setHeader('Content-Length', Buffer.byteLength(body));
  response.writeHead(200);
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** Refuses a request with a sentence, and ends its connection. */
export function refuse(response: ServerResponse, status: number, sentence: string): void {
  response.setHeader('Connection', 'close');
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.writeHead(status);
  response.end(`${sentence}\n`);
}

async function run(handler: HttpHandler, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    await handler(request, response);
  } catch (error) {
    // Whoever asks must not be able to end a daemon that forwards packets.
    if (response.headersSent) response.destroy();
    else refuse(response, 500, `an error of this program: ${(error as Error).message}`);
  }
}

/** What node's parser refuses; there is no response object yet. */
function refuseUnparsed(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? '431 Request Header Fields Too Large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? '408 Request Timeout'
        : '400 Bad Request';
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

/** Whether the Host header names this server by something that nobody else can choose. */
function isOwnHost({ headers, socket }: IncomingMessage): boolean {
  const [, bracketed, plain, digits] =
    /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(headers.host ?? '') ?? [];
  const name = (bracketed ?? plain ?? '').toLowerCase();
  if (Number(digits ?? 80) !== socket.localPort) return false;
  const local = (socket.localAddress ?? '').replace(/^::ffff:/, '');
  if (isIP(name) !== 0) return name === local;
  const isLoopback = local === '::1' || local.startsWith('127.');
  return isLoopback ? name === 'localhost' : name === hostname().toLowerCase();
}

/** Whether the request comes from a page of this server, or from no page, or is a link that somebody followed. */
function isOwnOrigin({ headers }: IncomingMessage): boolean {
  if (headers.origin !== undefined && headers.origin !== `http://${headers.host}`) return false;
  const site = headers['sec-fetch-site'] ?? 'none';
  return site === 'none' || site === 'same-origin' || headers['sec-fetch-mode'] === 'navigate';
}
