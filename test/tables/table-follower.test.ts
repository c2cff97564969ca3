/** Dumps that the kernel interrupts, by a socket that is the kernel: the real one does so when it happens to. */
import { afterEach, expect, it, vi } from 'vitest';
import { TableFollower } from '../../lib/runtime/table-follower.ts';
import { EAGAIN, ENOBUFS, SystemError } from '../../lib/sys/errno.ts';
import { linkMessage, message, routeMessage } from '../support/rtnetlink.ts';

const PORT = 42;
const RTM_GETLINK = 18;
const NLMSG_DONE = 3;
const NLM_F_DUMP_INTR = 0x10;
const UP = 0x1_0041;
const WAN = 2;

/** What there is, and how many more dumps of each kind are interrupted. */
const kernel = {
  prefixes: [] as string[],
  links: [] as string[],
  interruptions: { links: 0, routes: 0 },
  answers: [] as Uint8Array[],
  /** Requests that it is to refuse, short of memory. */
  refusals: 0,

  answer(request: Uint8Array): void {
    const view = new DataView(request.buffer, request.byteOffset);
    const isOfLinks = view.getUint16(4, true) === RTM_GETLINK;
    const kind = isOfLinks ? 'links' : 'routes';
    const isInterrupted = kernel.interruptions[kind] > 0;
    if (isInterrupted) kernel.interruptions[kind]--;
    const all = isOfLinks
      ? kernel.links.map((name, i) => linkMessage(WAN + i, name, UP))
      : kernel.prefixes.map((prefix) => routeMessage({ prefix, table: 101, hops: [{ device: WAN }] }));
    // An interrupted dump may have passed over anything.
    for (const bytes of [...(isInterrupted ? [] : all), message(NLMSG_DONE, 0, [0, 0, 0, 0])]) {
      const header = new DataView(bytes.buffer);
      if (isInterrupted) header.setUint16(6, NLM_F_DUMP_INTR, true);
      header.setUint32(8, view.getUint32(8, true), true);
      header.setUint32(12, PORT, true);
      kernel.answers.push(bytes);
    }
  },
};

vi.mock('../../lib/sys/netlink.ts', async (original) => ({
  ...(await original<object>()),
  NetlinkSocket: {
    open: () => ({
      fd: 0,
      port: PORT,
      send: (request: Uint8Array) => {
        if (kernel.refusals > 0) {
          kernel.refusals--;
          throw new SystemError('send', ENOBUFS, 'the netlink socket');
        }
        kernel.answer(request);
      },
      receive: (buffer: Uint8Array) => {
        const bytes = kernel.answers.shift();
        if (bytes === undefined) return -EAGAIN;
        buffer.set(bytes);
        return bytes.length;
      },
      close: () => undefined,
    }),
  },
}));
// What waits is read by the step that asked for it.
vi.mock('../../lib/sys/socket-watch.ts', () => ({
  SocketWatch: class {
    close(): void {}
  },
}));

let follower: TableFollower | undefined;
afterEach(() => follower?.close());

/** How many prefixes are known, from now on. */
function follow(): { size: number } {
  const known = { size: 0 };
  follower = TableFollower.open({
    tables: [101],
    families: [4],
    onPrefix: {
      4: (_record, _words, _length, mask) => (known.size += mask === 0 ? -1 : 1),
      6: () => undefined,
    },
    onLinks: () => undefined,
    // Nobody calls when an answer waits: a step takes them all, however slow the machine.
    stepNs: Infinity,
  });
  return known;
}

it('a table that is interrupted four times in a row is read again a second later, and what went is gone', async () => {
  kernel.links = ['wan'];
  kernel.prefixes = ['192.0.2.0/24', '198.51.100.0/24'];
  const known = follow();
  expect(known.size).toBe(2);
  kernel.prefixes.pop();
  kernel.interruptions.routes = 4;
  follower!.resync();
  await vi.waitFor(() => expect(known.size).toBe(1), { timeout: 10_000 });
  expect(kernel.interruptions.routes).toBe(0);
  expect(follower!.isSettled).toBe(true);
});

it('a link that interrupted dumps passed over is still there', async () => {
  kernel.links = ['wan'];
  follow();
  kernel.interruptions.links = 4;
  follower!.resync();
  await vi.waitFor(() => expect(kernel.interruptions.links).toBe(0), { timeout: 10_000 });
  expect(follower!.isLinkUp('wan')).toBe(true);
});

it('a request that the kernel refuses for want of memory is made again a second later', async () => {
  kernel.links = ['wan'];
  kernel.prefixes = ['192.0.2.0/24', '198.51.100.0/24'];
  const known = follow();
  kernel.prefixes.pop();
  kernel.refusals = 3;
  follower!.resync();
  await vi.waitFor(() => expect(known.size).toBe(1), { timeout: 10_000 });
  expect(kernel.refusals).toBe(0);
  expect(follower!.counters.failedDumps).toBe(3);
});

it('an open for which the kernel has no memory says so', () => {
  kernel.refusals = 1;
  expect(follow).toThrow(/send failed for the netlink socket: ENOBUFS/);
});
