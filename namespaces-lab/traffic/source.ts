/**
 * A source of traffic, run as a process in a namespace: `source.ts PORT CONGESTION [mptcp]`. A client connects and sends one
 * line, `BYTES RATE`; the source writes so many bytes, no faster than RATE bytes a second (0: as fast as TCP lets it),
 * and waits for the client to close. Then every byte is acknowledged, and the kernel's account of the connection is
 * final. Where it is not, and at the end of the run, the connection is reset in the moment in which its account is read:
 * what the kernel sent again after that would be in no account, though hosts would mark it.
 *
 * The congestion control is set on the listening socket, from which connections inherit it; each is asked what it has.
 */
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { nowNs } from '../../lib/sys/clock.ts';
import {
  readCongestionControl,
  readTcpInfo,
  socketFd,
  writeCongestionControl,
} from '../../lib/sys/socket-options.ts';
import { runModule, tell } from '../processes/module-io.ts';
import type { SourceReport } from './flow-class.ts';
import { listenMptcp, readMptcpAccount } from './mptcp.ts';

const CHUNK = Buffer.alloc(64 * 1024);
/** How often a paced connection writes, ms. */
const PACE_MS = 25;
const MAX_REQUEST = 64;
const BACKLOG = 4096;

const [port = '9000', congestion = 'cubic', protocol = 'tcp'] = process.argv.slice(2);
const isMptcp = protocol === 'mptcp';
const open = new Set<Transfer>();
const congestions: Record<string, number> = {};
const subflows: Record<string, number> = {};
let connections = 0;
let completed = 0;
let kernelBytesRetrans = 0;
let unreadConnections = 0;

class Transfer {
  readonly #socket: Socket;
  #request = '';
  #left = -1;
  #bytes = 0;
  #bytesPerSec = 0;
  #startNs = 0;
  #paced = 0;
  #timer: NodeJS.Timeout | undefined;
  #isRead = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    const name = readCongestionControl(socketFd(socket));
    congestions[name] = (congestions[name] ?? 0) + 1;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.#take(chunk);
    });
    socket.on('drain', () => {
      if (this.#bytesPerSec === 0) this.#fill();
    });
    // The client has all it asked for, or gives up.
    socket.on('end', () => {
      if (this.#left === 0) completed++;
      if (this.readAccount()) socket.destroy();
      else socket.resetAndDestroy();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.readAccount();
      clearInterval(this.#timer);
      open.delete(this);
    });
  }

  /** Ends the connection, whatever waits in it, with its account as it is then. */
  reset(): void {
    this.readAccount();
    this.#socket.resetAndDestroy();
  }

  /** Adds the kernel's account to the sums, once. Returns whether it is final: nothing waits to be sent or acknowledged. */
  readAccount(): boolean {
    if (this.#isRead) return true;
    this.#isRead = true;
    try {
      const fd = socketFd(this.#socket);
      if (isMptcp) {
        const account = readMptcpAccount(fd);
        kernelBytesRetrans += account.bytesRetrans;
        subflows[account.subflows] = (subflows[account.subflows] ?? 0) + 1;
        return this.#left === 0;
      }
      const { bytesAcked, bytesRetrans, unacked } = readTcpInfo(fd);
      kernelBytesRetrans += bytesRetrans;
      return this.#left === 0 && unacked === 0 && bytesAcked >= this.#bytes;
    } catch {
      // Reset by the client: the descriptor is gone.
      unreadConnections++;
      return true;
    }
  }

  #take(chunk: Buffer): void {
    if (this.#left >= 0) return;
    this.#request += chunk.toString('latin1');
    const end = this.#request.indexOf('\n');
    if (end < 0 && this.#request.length < MAX_REQUEST) return;
    const [bytes, rate] = this.#request.slice(0, end).split(' ').map(Number);
    if (!(bytes > 0) || !(rate >= 0)) {
      this.#socket.destroy();
      return;
    }
    this.#left = bytes;
    this.#bytes = bytes;
    this.#bytesPerSec = rate;
    this.#startNs = nowNs();
    if (rate === 0) this.#fill();
    else {
      this.#timer = setInterval(() => {
        this.#pace();
      }, PACE_MS);
    }
  }

  #fill(): void {
    while (this.#left > 0) {
      const size = Math.min(this.#left, CHUNK.length);
      this.#left -= size;
      if (!this.#socket.write(size === CHUNK.length ? CHUNK : CHUNK.subarray(0, size))) return;
    }
  }

  /** Writes what the rate has allowed since the last time. What a blocked connection missed is not made up for. */
  #pace(): void {
    const allowed = ((nowNs() - this.#startNs) / 1e9) * this.#bytesPerSec;
    const size = Math.min(this.#left, CHUNK.length, Math.floor(allowed - this.#paced));
    if (this.#left === 0) clearInterval(this.#timer);
    this.#paced = allowed;
    if (size <= 0 || this.#socket.writableLength > 0) return;
    this.#left -= size;
    this.#socket.write(CHUNK.subarray(0, size));
  }
}

const server = createServer({ allowHalfOpen: true }, (socket) => {
  connections++;
  open.add(new Transfer(socket));
});
function onListening(): void {
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  writeCongestionControl(fd, congestion);
  tell('ready', { congestion: readCongestionControl(fd) });
}
if (isMptcp) listenMptcp(server, Number(port), BACKLOG, onListening);
else server.listen({ port: Number(port), host: '0.0.0.0', backlog: BACKLOG }, onListening);

runModule(
  () => undefined,
  () => {
    server.close();
    for (const transfer of open) transfer.reset();
    const report: SourceReport = {
      connections,
      completed,
      congestion: congestions,
      kernelBytesRetrans,
      unreadConnections,
      ...(isMptcp ? { subflows } : {}),
    };
    tell('exit', report);
  },
);
