/**
 * The sender with a kernel that has no room, knows no segmentation, refuses one datagram... Long because of that kernel,
 * made by hand here, whose every answer is a case.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import { DatagramFlows } from '../../../lib/lex/datagram-flows.ts';
import { DatagramSender } from '../../../lib/sockets/datagram-sender.ts';
import { SendStage } from '../../../lib/sockets/send-stage.ts';
import { Peers } from '../../../lib/sockets/peers.ts';
import type { Peer } from '../../../lib/sockets/peers.ts';
import type { SendOutcome } from '../../../lib/sockets/send-outcome.ts';
import type { DatagramCalls } from '../../../lib/sys/datagram-calls.ts';
import { AF_INET } from '../../../lib/sys/socket-address.ts';

const EINTR = 4;
const EIO = 5;
const EAGAIN = 11;
const EINVAL = 22;
const EMSGSIZE = 90;
const ENOBUFS = 105;
const ECANCELED = 125;
const ECONNREFUSED = 111;

/**
 * A kernel that answers as it is told, and reads the memory that it is handed: addresses are numbers that it gave out
 * itself.
 */
class FakeKernel implements DatagramCalls {
  /** Answers to the next calls: how many messages go, or minus an errno; all go when there is none. */
  readonly answers: number[] = [];
  /** Refuses a message, by its datagrams; returns an errno or 0. */
  judge: (datagrams: readonly string[]) => number = () => 0;
  /** Datagrams that went. */
  readonly sent: string[] = [];
  /** Traffic classes of the datagrams that went; -1 for the socket's own. */
  readonly classes: number[] = [];
  calls = 0;
  ownClass = 0;
  #errno = 0;
  readonly #memory: { readonly at: number; readonly bytes: Buffer }[] = [];
  #nextAddress = 0x7f12_3456_0000;

  addressOf(buffer: ArrayBuffer): number {
    const at = this.#nextAddress;
    this.#nextAddress += buffer.byteLength + 4096;
    this.#memory.push({ at, bytes: Buffer.from(buffer) });
    return at;
  }

  sendMessages(_fd: number, address: number, count: number): number {
    const limit = this.#answer(count);
    if (limit < 0) return -1;
    for (let i = 0; i < limit; i++) {
      const header = this.#at(address + 64 * i, 64);
      const iovec = this.#at(Number(header.readBigUInt64LE(16)), 16);
      const data = this.#at(Number(iovec.readBigUInt64LE(0)), Number(iovec.readBigUInt64LE(8)));
      const controlBytes = Number(header.readBigUInt64LE(40));
      const control = this.#at(Number(header.readBigUInt64LE(32)), controlBytes);
      const step = controlBytes > 24 ? control.readUInt16LE(40) : Math.max(1, data.length);
      const datagrams: string[] = [];
      for (let at = 0; at < data.length; at += step)
        datagrams.push(data.toString('latin1', at, Math.min(at + step, data.length)));
      const errno = this.judge(datagrams);
      if (errno !== 0) {
        this.#errno = errno;
        return i === 0 ? -1 : i;
      }
      this.sent.push(...datagrams);
      this.classes.push(...datagrams.map(() => (controlBytes > 0 ? control.readInt32LE(16) : -1)));
    }
    return limit;
  }

  sendBytes(_fd: number, address: number, bytes: number): number {
    if (this.#answer(1) < 0) return -1;
    const text = this.#at(address, bytes).toString('latin1');
    const errno = this.judge([text]);
    if (errno !== 0) {
      this.#errno = errno;
      return -1;
    }
    this.sent.push(text);
    this.classes.push(-1);
    return bytes;
  }

  lastErrno(): number {
    return this.#errno;
  }

  setOption(_fd: number, _level: number, _option: number, value: number): number {
    this.ownClass = value;
    return 0;
  }

  receiveMessages(): number {
    throw new Error('not here');
  }

  watch(): never {
    throw new Error('not here');
  }

  interfaceIndex(): number {
    return 0;
  }

  interfaceName(): string {
    return '';
  }

  #answer(count: number): number {
    this.calls++;
    const answer = this.answers.shift() ?? count;
    if (answer < 0) this.#errno = -answer;
    return Math.min(answer, count);
  }

  #at(address: number, length: number): Buffer {
    const found = this.#memory.find(
      ({ at, bytes }) => address >= at && address + length <= at + bytes.length,
    );
    if (found === undefined) throw new Error(`address ${address} is nobody's`);
    return found.bytes.subarray(address - found.at, address - found.at + length);
  }
}

class Outcomes {
  readonly lines: string[] = [];

  of(name: string): SendOutcome {
    return { finish: (errno, bytes) => this.lines.push(`${name} ${errno} ${bytes}`) };
  }
}

describe('DatagramSender', () => {
  let kernel: FakeKernel;
  let stage: SendStage;
  let flows: DatagramFlows;
  let sender: DatagramSender;
  let peer: Peer;
  let other: Peer;
  let outcomes: Outcomes;
  let blocked: boolean[];
  beforeEach(() => {
    kernel = new FakeKernel();
    stage = new SendStage(kernel);
    flows = new DatagramFlows();
    blocked = [];
    outcomes = new Outcomes();
    sender = makeSender();
    const peers = new Peers(kernel, AF_INET);
    peer = peers.byText('192.0.2.1', 9)!;
    other = peers.byText('192.0.2.2', 9)!;
  });

  const makeSender = (): DatagramSender => {
    const made = new DatagramSender(kernel, stage, flows, (isBlocked) => blocked.push(isBlocked));
    made.fd = 7;
    return made;
  };
  const send = (text: string, to = peer, hints = 0): void => {
    sender.send(to, false, Buffer.from(text), hints, 0, outcomes.of(text));
  };

  it('sends nothing before flush', () => {
    send('a');
    expect(kernel.sent).toEqual([]);
    sender.flush();
    expect(kernel.sent).toEqual(['a']);
    sender.flush();
    expect(kernel.calls).toBe(1);
  });

  it('goes on where the kernel stopped', () => {
    for (const text of ['a', 'bb', 'ccc', 'dddd']) send(text, peer);
    kernel.answers.push(1, 2);
    sender.flush();
    expect(kernel.sent).toEqual(['a', 'bb', 'ccc', 'dddd']);
    expect(kernel.calls).toBe(3);
    expect(outcomes.lines).toEqual(['a 0 1', 'bb 0 2', 'ccc 0 3', 'dddd 0 4']);
  });

  it('asks again when a signal came between', () => {
    send('a');
    kernel.answers.push(-EINTR, -EINTR);
    sender.flush();
    expect(outcomes.lines).toEqual(['a 0 1']);
  });

  it.each([EAGAIN, ENOBUFS])('keeps what the kernel has no room for, in order: errno %d', (errno) => {
    for (const text of ['a', 'bb', 'cc', 'dd', 'ee']) send(text);
    kernel.answers.push(1, -errno);
    sender.flush();
    expect(kernel.sent).toEqual(['a']);
    expect(sender.queue).toEqual({ count: 4, bytes: 8 });
    expect(blocked).toEqual([true]);
    send('f');
    sender.flush();
    expect(kernel.sent).toEqual(['a']);
    expect(sender.queue.count).toBe(5);
    kernel.answers.push(-errno);
    sender.continue();
    expect(sender.queue.count).toBe(5);
    kernel.judge = (datagrams) => (datagrams.length > 1 ? EMSGSIZE : datagrams[0] === 'dd' ? errno : 0);
    sender.continue();
    expect(kernel.sent).toEqual(['a', 'bb', 'cc']);
    kernel.judge = () => 0;
    sender.continue();
    expect(kernel.sent).toEqual(['a', 'bb', 'cc', 'dd', 'ee', 'f']);
    expect(sender.queue).toEqual({ count: 0, bytes: 0 });
    expect(blocked.at(-1)).toBe(false);
    expect(outcomes.lines).toEqual(['a 0 1', 'bb 0 2', 'cc 0 2', 'dd 0 2', 'ee 0 2', 'f 0 1']);
  });

  it('an error of a datagram that goes past the vector is told, and it is not tried again', () => {
    for (let i = 0; i < 12; i++) {
      send(String(i));
      sender.flush();
    }
    let isPending = true;
    kernel.judge = () => {
      const errno = isPending ? ECONNREFUSED : 0;
      isPending = false;
      return errno;
    };
    for (const text of ['refused', 'sent']) {
      send(text);
      sender.flush();
    }
    expect(outcomes.lines.slice(12)).toEqual([`refused ${ECONNREFUSED} 0`, 'sent 0 4']);
    kernel.answers.push(-EINTR, -EAGAIN);
    send('later');
    sender.flush();
    expect(sender.queue.count).toBe(1);
    sender.continue();
    expect(outcomes.lines.slice(14)).toEqual(['later 0 5']);
  });

  it('keeps the mark that a waiting datagram got when it was sent', () => {
    send('a');
    send('b');
    send('c', peer, 1);
    kernel.answers.push(-EAGAIN);
    sender.flush();
    sender.continue();
    expect(kernel.classes.map((value) => value >> 2)).toEqual([7, 3, 63]);
  });

  it('cancels what waits when the socket is closed, and takes it out of the counters', () => {
    for (const text of ['a', 'bb', 'cc']) send(text, peer, 1);
    kernel.answers.push(1, -EAGAIN);
    sender.flush();
    sender.close(true);
    expect(outcomes.lines).toEqual(['a 0 1', `bb ${ECANCELED} 0`, `cc ${ECANCELED} 0`]);
    expect(flows).toMatchObject({ sentBytes: 1, retransmittedBytes: 1 });
    expect(flows.counters.lexPayloadBytes).toBe(0);
  });

  it('forgets what is staged when the socket is closed unconnected', () => {
    send('a');
    send('b', peer, 1);
    sender.close(false);
    expect(kernel.sent).toEqual([]);
    expect(outcomes.lines).toEqual([]);
    expect(flows).toMatchObject({ sentBytes: 0, size: 0 });
    expect(stage).toMatchObject({ messages: 0, datagrams: 0, owner: undefined });
  });

  it('joins equal datagrams of one peer and mark, and only those', () => {
    for (const [text, to, hints] of [
      ['aa', peer, 0], // FNE
      ['bb', peer, 0],
      ['cc', peer, 0],
      ['d', peer, 0],
      ['ee', peer, 0],
      ['ff', peer, 1], // LEx
      ['gg', other, 0], // FNE
      ['hh', other, 0],
      ['', other, 0],
      ['', other, 0],
      ['ii', other, 0],
      ['jjj', other, 0],
    ] as const) {
      send(text, to, hints);
    }
    const messages: string[][] = [];
    kernel.judge = (datagrams) => {
      messages.push([...datagrams]);
      return 0;
    };
    sender.flush();
    expect(messages).toEqual([
      ['aa'],
      ['bb', 'cc', 'd'],
      ['ee'],
      ['ff'],
      ['gg'],
      ['hh'],
      [],
      [],
      ['ii'],
      ['jjj'],
    ]);
    expect(outcomes.lines).toHaveLength(12);
  });

  it.each([EINVAL, EMSGSIZE, EIO])(
    'sends one by one what cannot be joined, and remembers: errno %d',
    (errno) => {
      send('first');
      sender.flush();
      kernel.judge = (datagrams) => (datagrams.length > 1 ? errno : 0);
      for (const text of ['aa', 'bb', 'cc', 'd']) send(text);
      sender.flush();
      expect(kernel.sent).toEqual(['first', 'aa', 'bb', 'cc', 'd']);
      kernel.calls = 0;
      for (const text of ['ee', 'ff', 'gg']) send(text);
      sender.flush();
      expect(kernel.calls).toBe(1);
      expect(outcomes.lines.slice(1)).toEqual([
        'aa 0 2',
        'bb 0 2',
        'cc 0 2',
        'd 0 1',
        'ee 0 2',
        'ff 0 2',
        'gg 0 2',
      ]);
      expect(sender.errors).toBe(0);
    },
  );

  it('an error of joined datagrams is that of the one that has it', () => {
    send('first');
    sender.flush();
    let refusals = 0;
    kernel.judge = (datagrams) => {
      const isRefused = datagrams.includes('bb');
      refusals += isRefused ? 1 : 0;
      return isRefused ? ECONNREFUSED : 0;
    };
    for (const text of ['aa', 'bb', 'cc']) send(text);
    sender.flush();
    expect(outcomes.lines.slice(1)).toEqual(['aa 0 2', `bb ${ECONNREFUSED} 0`, 'cc 0 2']);
    expect(refusals).toBe(2);
    expect(flows.sentBytes).toBe(9);
    expect(sender.errors).toBe(1);
  });

  it('stops in the middle of one by one when there is no room', () => {
    send('first');
    sender.flush();
    kernel.judge = (datagrams) => (datagrams.length > 1 ? EIO : datagrams[0] === 'bb' ? EAGAIN : 0);
    for (const text of ['aa', 'bb', 'cc']) send(text);
    send('other', other);
    sender.flush();
    expect(kernel.sent).toEqual(['first', 'aa']);
    expect(sender.queue.count).toBe(3);
    kernel.judge = () => 0;
    sender.continue();
    expect(kernel.sent).toEqual(['first', 'aa', 'bb', 'cc', 'other']);
  });

  it('sockets take turns at the stage, and nothing is mixed up', () => {
    const second = makeSender();
    send('a');
    second.send(other, false, Buffer.from('b'), 0, 0, outcomes.of('b'));
    send('c');
    expect(kernel.sent).toEqual(['a', 'b']);
    second.flush();
    expect(kernel.sent).toEqual(['a', 'b']);
    sender.flush();
    expect(kernel.sent).toEqual(['a', 'b', 'c']);
  });

  it('gives the socket a class that stays, and leaves it out of the calls from then on', () => {
    for (let i = 0; i < 30; i++) {
      send('x');
      sender.flush();
    }
    expect(kernel.ownClass).toBe(3 << 2);
    expect(kernel.classes[0]).toBe(7 << 2);
    expect(kernel.classes[1]).toBe(3 << 2);
    expect(kernel.classes.at(-1)).toBe(-1);
    send('x', peer, 1);
    sender.flush();
    expect(kernel.classes.at(-1)).toBe(63 << 2);
    send('x');
    sender.flush();
    expect(kernel.classes.at(-1)).toBe(-1);
  });

  it('more than the stage holds goes in several flushes', () => {
    const data = Buffer.alloc(1400, 'x');
    for (let i = 0; i < 5000; i++) sender.send(peer, false, data, 0, 0, undefined);
    sender.flush();
    expect(kernel.sent).toHaveLength(5000);
    expect(kernel.sent.every((text) => text.length === 1400)).toBe(true);
  });

  it('a stage that is full while the kernel has no room loses nothing', () => {
    kernel.judge = () => EAGAIN;
    const texts = Array.from({ length: 3000 }, (_, i) => String(i).padStart(200, '0'));
    for (const text of texts) send(text);
    sender.flush();
    expect(sender.queue.count).toBe(3000);
    kernel.judge = () => 0;
    sender.continue();
    expect(kernel.sent).toEqual(texts);
  });
});
