/** The control socket: requests, answers, bounds, names, stale files. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PreflexError, invalidOption } from '../../lib/errors.ts';
import { askDaemon, findDaemons } from '../../lib/runtime/control/client.ts';
import { LineSplitter, MAX_REQUEST_BYTES, parseRequest } from '../../lib/runtime/control/protocol.ts';
import { ControlServer } from '../../lib/runtime/control/server.ts';

let directory = '';
let servers: ControlServer[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'preflex-control-'));
});
afterEach(() => {
  for (const server of servers) server.close();
  servers = [];
  rmSync(directory, { recursive: true });
});

async function open(name = 'gateway-p0', isNameGiven = true): Promise<ControlServer> {
  const operations = {
    echo: (args: unknown) => args,
    refuse: () => {
      throw invalidOption('strategy', 'best', 'one of a few');
    },
    big: () => 'x'.repeat(5_000_000),
  };
  const server = await ControlServer.open({ directory, name, isNameGiven, role: 'gateway', operations });
  servers.push(server);
  return server;
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
    ['a member of every object', '{"op":"constructor"}\n', 'it takes one of hello, echo, refuse, big'],
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
