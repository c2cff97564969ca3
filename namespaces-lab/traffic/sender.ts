/**
 * TCP transfers with the kernel's own account of each, run as a process in a namespace: `sender.ts PLAN`, PLAN being a
 * SenderPlan in JSON. Prints one TransferResult in JSON a line; ends when all transfers have.
 *
 * The account is read when every byte was acknowledged: nothing can be sent again after that, so `bytesRetrans` is
 * final.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { nowNs } from '../../lib/sys/clock.ts';
import {
  readTcpInfo,
  SO_KEEPALIVE,
  socketFd,
  SOL_SOCKET,
  SOL_TCP,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  writeCongestionControl,
  writeInitialSequence,
  writeSocketOption,
} from '../../lib/sys/socket-options.ts';
import { TcpSocket } from '../../lib/sys/socket.ts';

/** One transfer to make. */
export interface Transfer {
  readonly bytes: number;
  readonly congestion: string;
  /** Sequence number of the SYN; default: the kernel's choice. */
  readonly initialSequence?: number;
  /** Stay open and idle this long after the data, with a keep-alive every second. */
  readonly keepAliveSeconds?: number;
  /** Ask the sink not to read for a while, so that its window closes. */
  readonly stalls?: boolean;
}

/** What the sender is to do. */
export interface SenderPlan {
  readonly address: string;
  readonly port: number;
  /** Transfers under way at the same time. */
  readonly concurrency: number;
  readonly transfers: readonly Transfer[];
}

/** What came of one transfer. */
export interface TransferResult {
  readonly bytes: number;
  readonly congestion: string;
  /** Seconds from the SYN to the last acknowledgement. */
  readonly seconds: number;
  /** tcpi_bytes_retrans: payload bytes that the kernel sent again. */
  readonly bytesRetrans: number;
  /** tcpi_total_retrans: segments sent again, SYNs among them. */
  readonly segmentsRetrans: number;
}

const STALL_BYTE = 0x5a;
const POLL_MS = 10;
const CHUNK = Buffer.alloc(64 * 1024);

async function transfer(plan: SenderPlan, wanted: Transfer): Promise<TransferResult> {
  const startNs = nowNs();
  const raw = TcpSocket.open(plan.address.includes(':') ? 6 : 4);
  writeCongestionControl(raw.fd, wanted.congestion);
  if (wanted.initialSequence !== undefined) writeInitialSequence(raw.fd, wanted.initialSequence);
  if (wanted.keepAliveSeconds !== undefined) {
    writeSocketOption(raw.fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    writeSocketOption(raw.fd, SOL_TCP, TCP_KEEPIDLE, 1);
    writeSocketOption(raw.fd, SOL_TCP, TCP_KEEPINTVL, 1);
  }
  await raw.connect(plan.address, plan.port);
  const socket = raw.intoNodeSocket();
  const fd = socketFd(socket);
  socket.resume();
  let left = wanted.bytes;
  if (wanted.stalls) {
    socket.write(Buffer.of(STALL_BYTE));
    left--;
  }
  while (left > 0) {
    const size = Math.min(left, CHUNK.length);
    left -= size;
    if (!socket.write(CHUNK.subarray(0, size))) await once(socket, 'drain');
  }
  let info = readTcpInfo(fd);
  // The SYN is acknowledged as one byte more.
  while (info.bytesAcked < wanted.bytes + 1 || info.unacked > 0) {
    await sleep(POLL_MS);
    info = readTcpInfo(fd);
  }
  const seconds = (nowNs() - startNs) / 1e9;
  if (wanted.keepAliveSeconds !== undefined) {
    await sleep(wanted.keepAliveSeconds * 1000);
    info = readTcpInfo(fd);
  }
  const closed = once(socket, 'close');
  socket.end();
  await closed;
  return {
    bytes: wanted.bytes,
    congestion: wanted.congestion,
    seconds,
    bytesRetrans: info.bytesRetrans,
    segmentsRetrans: info.totalRetrans,
  };
}

const plan = JSON.parse(process.argv[2] ?? '') as SenderPlan;
let next = 0;
async function work(): Promise<void> {
  while (next < plan.transfers.length) {
    const result = await transfer(plan, plan.transfers[next++]);
    process.stdout.write(`${JSON.stringify(result)}\n`);
  }
}
await Promise.all(Array.from({ length: plan.concurrency }, work));
