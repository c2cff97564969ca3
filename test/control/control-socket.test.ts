/** The control socket: requests, answers, bounds, names, stale files. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { refuseConnections } from '../support/refuse-connections.ts';
import { PreflexError, invalidOption } from '../../lib/errors.ts';
import { askDaemon, findDaemons } from '../../lib/runtime/control/client.ts';
import { LineSplitter, MAX_REQUEST_BYTES, parseRequest } from '../../lib/runtime/control/protocol.ts';
import { ControlServer, MAX_CONNECTIONS } from '../../lib/runtime/control/server.ts';

let directory = '';
let servers: ControlServer[] = [];
/** Calls of the operations echo and large. */
let echoes = 0;
let larges = 0;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'preflex-control-'));
});
afterEach(() => {
  for (const server of servers) server.close();
  servers = [];
  rmSync(directory, { recursive: true });
});

async function open(name = 'gateway-p0', isNameGiven = true, idleMs?: number): Promise<ControlServer> {
  const operations = {
    echo: (args: unknown) => {
      echoes++;
      return args;
    },
    large: () => {
      larges++;
      return 'x'.repeat(1_000_000);
    },
    refuse: () => {
      throw invalidOption('strategy', 'best', 'one of a few');
    },
    big: () => 'x'.repeat(5_000_000),
    read: () => readFileSync(join(directory, 'none'), 'utf8'),
  };
  const server = await ControlServer.open({
    directory,
    name,
    isNameGiven,
    role: 'gateway',
    operations,
    idleMs,
  });
  servers.push(server);
  return server;
}

/** Asks until the server has noticed that a place is free. */
async function waitUntilServed(path: string): Promise<void> {
  for (;;) {
    try {
      await askDaemon(path, 'echo');
      return;
    } catch (error) {
      if (!(error instanceof PreflexError)) throw error;
    }
  }
}

/** Sends bytes and returns the first line that comes back. */
async function raw(path: string, bytes: string): Promise<unknown> {
  const socket = connect(path);
  socket.write(bytes);
  let text = '';
  for await (const chunk of socket) {
    text += String(chunk);
    if (text.includes('\n')) break;
  }
  socket.destroy();
  return JSON.parse(text.split('\n')[0] ?? '');
}

describe('a control socket', () => {
  it('answers, and refuses in the words of the operation', async () => {
    const { path } = await open();
    expect(await askDaemon(path, 'echo', { a: [1, 'b'] })).toEqual({ a: [1, 'b'] });
    await expect(askDaemon(path, 'refuse')).rejects.toThrow(
      'strategy: "best" is not allowed; it takes one of a few',
    );
  });

  it('answers with what the machine refused to an operation, and goes on', async () => {
    const { path } = await open();
    await expect(askDaemon(path, 'read')).rejects.toThrow(/ENOENT: no such file/);
    expect(await askDaemon(path, 'echo', { a: 1 })).toEqual({ a: 1 });
  });

  it('goes on when a connection cannot be accepted', async () => {
    const { path } = await open();
    await refuseConnections(async () => askDaemon(path, 'echo'));
    expect(await askDaemon(path, 'echo', { a: 1 })).toEqual({ a: 1 });
  });

  it('only its owner can connect: mode 0600, in a folder that nobody else can write to', async () => {
    const { path } = await open();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    chmodSync(directory, 0o777);
    await expect(open('other')).rejects.toThrow(`${directory}: control sockets need a folder of this user`);
  });

  it.each([
    ['text', 'hello\n', 'request: not JSON; it takes one object a line'],
    ['a list', '[]\n', 'request: [] is not allowed; it takes an object with op and args'],
    ['no operation', '{}\n', 'op: undefined is not allowed; it takes the name of an operation'],
    ['a member of every object', '{"op":"constructor"}\n', 'it takes one of hello, echo, large, refuse, big'],
    ['an unknown key', '{"op":"echo","x":1}\n', 'request.x: 1 is not allowed; it takes only op, args'],
    ['arguments that are none', '{"op":"echo","args":1}\n', 'args: 1 is not allowed; it takes an object'],
    [
      'a line without end',
      'x'.repeat(MAX_REQUEST_BYTES + 1),
      `request: a line is longer than ${MAX_REQUEST_BYTES} bytes`,
    ],
  ])('%s is answered with an error, and the next one is served', async (_, bytes, message) => {
    const { path } = await open();
    expect(await raw(path, bytes)).toEqual({ ok: false, message: expect.stringContaining(message) });
    expect(await askDaemon(path, 'echo', {})).toEqual({});
  });

  it('another user cannot connect, even where the folder lets everybody in', async (test) => {
    if (process.geteuid?.() !== 0) {
      console.warn('SKIPPED: another user can only be tried as root.');
      test.skip();
    }
    const { path } = await open();
    chmodSync(directory, 0o755);
    const program = `require('net').connect(${JSON.stringify(path)}).on('error', (e) => console.log(e.code)).on('connect', () => { console.log('in'); process.exit(); })`;
    const { stdout } = spawnSync(process.execPath, ['-e', program], {
      uid: 65_534,
      encoding: 'utf8',
      cwd: '/',
    });
    expect(stdout).toBe('EACCES\n');
    expect(await askDaemon(path, 'echo', {})).toEqual({});
  });

  it('a client that connects and says nothing is ended', async () => {
    const { path } = await open('gateway-p0', true, 50);
    const socket = connect(path);
    await once(socket, 'close');
    expect(await askDaemon(path, 'echo', {})).toEqual({});
  });

  it('a client that asks and does not read is asked no more, holds one answer, and is ended', async () => {
    const { path } = await open('gateway-p0', true, 100);
    larges = 0;
    const socket = connect(path);
    socket.pause();
    socket.write('{"op":"large"}\n'.repeat(100));
    // The daemon answers others meanwhile.
    expect(await askDaemon(path, 'echo', {})).toEqual({});
    // Without reading it learns of the end only when what it writes is refused.
    socket.on('error', () => undefined);
    const timer = setInterval(() => socket.write('\n'), 1000);
    await new Promise((resolve) => socket.on('close', resolve));
    clearInterval(timer);
    expect(larges).toBe(1);
  });

  it('a client that reads slowly gets all of its answers, in order', async () => {
    const { path } = await open();
    const socket = connect(path);
    socket.write(
      '{"op":"large"}\n{"op":"echo","args":{"a":1}}\n{"op":"large"}\n{"op":"echo","args":{"a":2}}\n',
    );
    const splitter = new LineSplitter(2_000_000);
    const lines: string[] = [];
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      lines.push(...splitter.push(chunk));
      if (lines.length === 4) break;
      await new Promise((resolve) => setImmediate(resolve));
    }
    const results = lines.map((line) => (JSON.parse(line) as { result: unknown }).result);
    expect(results.map((result) => (typeof result === 'string' ? result.length : result))).toEqual([
      1_000_000,
      { a: 1 },
      1_000_000,
      { a: 2 },
    ]);
  });

  it('has so many clients at a time: one more is turned away, and served when another has gone', async () => {
    const { path } = await open();
    const clients = Array.from({ length: MAX_CONNECTIONS }, () => connect(path));
    await Promise.all(clients.map((client) => once(client, 'connect')));
    for (const client of clients) {
      const answer = once(client, 'data');
      client.write('{"op":"echo"}\n');
      await answer;
    }
    await expect(askDaemon(path, 'echo')).rejects.toThrow(PreflexError);
    const gone = clients[0];
    gone.destroy();
    await once(gone, 'close');
    await waitUntilServed(path);
    for (const client of clients) client.destroy();
  });

  it('many requests in one piece are each answered', async () => {
    const { path } = await open();
    echoes = 0;
    const socket = connect(path);
    socket.write('{"op":"echo"}\n'.repeat(1000));
    let answers = 0;
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      answers += chunk.toString().split('\n').length - 1;
      if (answers === 1000) break;
    }
    expect(echoes).toBe(1000);
  });

  it('an answer that is too large becomes an error', async () => {
    const { path } = await open();
    await expect(askDaemon(path, 'big')).rejects.toThrow('the answer has more than 4194304 bytes');
  });

  it('a name that was given and is taken is an error; one that was not gets a number', async () => {
    await open();
    await expect(open()).rejects.toThrow('A daemon with the name gateway-p0 is running already');
    expect((await open('gateway-p0', false)).name).toBe('gateway-p0-2');
    const found = await findDaemons(directory);
    expect(found.map(({ name, role, pid }) => [name, role, pid])).toEqual([
      ['gateway-p0-2', 'gateway', process.pid],
      ['gateway-p0', 'gateway', process.pid],
    ]);
  });

  it('a name that cannot be one is refused', async () => {
    await expect(open('../x')).rejects.toThrow(PreflexError);
  });

  it('is gone when it is closed', async () => {
    const server = await open();
    server.close();
    expect([existsSync(server.path), await findDaemons(directory)]).toEqual([false, []]);
  });

  it('what a killed process left is swept by the next who asks, and its name is free', async () => {
    const path = join(directory, 'gateway-p0.sock');
    const child = spawn(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('on'))`,
    ]);
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'close');
    expect(await findDaemons(directory)).toEqual([]);
    // It is young, so it may be one in the making.
    expect(readdirSync(directory)).toEqual(['gateway-p0.sock']);
    utimesSync(path, 0, 0);
    expect(await findDaemons(directory)).toEqual([]);
    expect(readdirSync(directory)).toEqual([]);
    expect((await open()).name).toBe('gateway-p0');
  });

  it('a folder that is not there has no daemons', async () => {
    expect(await findDaemons(join(directory, 'none'))).toEqual([]);
  });
});

describe('the protocol', () => {
  it('lines come out as they went in, however they are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'grapheme' })),
        fc.integer({ min: 1, max: 9 }),
        (texts, size) => {
          const lines = texts.map((text) => text.replaceAll('\n', ' '));
          const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
          const splitter = new LineSplitter(10_000);
          const got: string[] = [];
          for (let at = 0; at < bytes.length; at += size)
            got.push(...splitter.push(bytes.subarray(at, at + size)));
          expect(got).toEqual(lines);
        },
      ),
    );
  });

  it('whatever a line holds, it is a request or refused by a PreflexError', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
        try {
          expect(typeof parseRequest(line).op).toBe('string');
        } catch (error) {
          expect(error).toBeInstanceOf(PreflexError);
        }
      }),
    );
  });
});
