/** Datagrams to a service manager, against a socket of the kernel's. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { NotifySocket, unixAddress } from '../../lib/sys/notify-socket.ts';
import { NotifyReceiver } from '../support/notify-receiver.ts';

describe('the notify socket', () => {
  const undo: (() => void)[] = [];
  afterEach(() => {
    for (const step of undo.splice(0).reverse()) step();
  });
  const folder = (): string => {
    const made = mkdtempSync(join(tmpdir(), 'preflex-notify-'));
    undo.push(() => {
      rmSync(made, { recursive: true });
    });
    return made;
  };
  const open = (address: string): { receiver: NotifyReceiver; socket: NotifySocket } => {
    const receiver = new NotifyReceiver(address);
    const socket = NotifySocket.open(address);
    undo.push(
      () => {
        receiver.close();
      },
      () => {
        socket.close();
      },
    );
    return { receiver, socket };
  };

  it.each([
    ['a path', () => join(folder(), 'notify')],
    ['an abstract name', () => `@preflex-test-${process.pid}`],
  ])('reaches %s, a datagram a message', (_, address) => {
    const { receiver, socket } = open(address());
    expect(socket.send('READY=1\nSTATUS=füllt sich', true)).toBe(true);
    expect(socket.send('WATCHDOG=1', false)).toBe(true);
    receiver.receive();
    expect(receiver.messages).toEqual(['READY=1\nSTATUS=füllt sich', 'WATCHDOG=1']);
  });

  it('says when nobody is there any more, without an exception', () => {
    const { receiver, socket } = open(`@preflex-test-gone-${process.pid}`);
    receiver.close();
    expect(socket.send('WATCHDOG=1', false)).toBe(false);
    expect(socket.send('READY=1', true)).toBe(false);
  });

  it('does not wait for a manager whose queue is full, unless it may', () => {
    const { socket } = open(`@preflex-test-full-${process.pid}`);
    let sent = 0;
    while (socket.send('WATCHDOG=1', false)) sent++;
    expect(sent).toBeGreaterThan(0);
    const before = performance.now();
    expect(socket.send('READY=1', true)).toBe(false);
    // It waited for what is its limit, no more and no less.
    expect(performance.now() - before).toBeGreaterThan(500);
  });

  it.each(['', '@', 'relative', 'vsock:2:1234', `/${'x'.repeat(107)}`])(
    'refuses the address %j',
    (address) => {
      expect(() => unixAddress(address)).toThrow(/NOTIFY_SOCKET: .* \/PATH or @NAME of at most 107 bytes/);
    },
  );
});
