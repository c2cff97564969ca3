/** iperf3 between two namespaces: a one-off server, a client, the result as numbers. */
import { PreflexError } from '../../lib/errors.ts';
import { endProcess, execIn } from '../../lib/netns/processes.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { waitForListen } from '../../lib/netns/wait.ts';

/** One iperf3 run. */
export interface Iperf3Options {
  readonly clientNetns: string;
  readonly serverNetns: string;
  /** Address of the server. */
  readonly address: string;
  /** Seconds of traffic; default 5. Ignored when `bytes` is given. */
  readonly seconds?: number;
  /** Bytes to send instead of a time. */
  readonly bytes?: number;
  /** Parallel flows; default 1. */
  readonly flows?: number;
  /** The server sends; default false. */
  readonly reverse?: boolean;
  /** Congestion control of the sender; default cubic. */
  readonly congestion?: string;
  /** Server port; default 5201. */
  readonly port?: number;
  /** TCP: the most that a flow sends, bit/s. */
  readonly tcpBitsPerSec?: number;
  /** UDP at this rate in bit/s instead of TCP; 0: as fast as it can. */
  readonly udpBitsPerSec?: number;
  /** DSCP of what the client sends; default 0. */
  readonly dscp?: number;
  /** UDP payload of a datagram; default what fits the path. */
  readonly datagramBytes?: number;
  /** Processors that the two ends are kept on; default none: wherever the scheduler puts them. */
  readonly processors?: EndProcessors | undefined;
}

/** Numbers of processors, one for each end. */
export interface EndProcessors {
  readonly client: number;
  readonly server: number;
}

/** What iperf3 measured. */
export interface Iperf3Result {
  /** Received application bytes per second times eight. */
  readonly bitsPerSec: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** TCP segments sent again; 0 for UDP. */
  readonly retransmits: number;
  /** UDP datagrams that did not arrive; 0 for TCP. */
  readonly lostDatagrams: number;
}

interface Iperf3Sum {
  bytes: number;
  bits_per_second: number;
  retransmits?: number;
  lost_packets?: number;
}

interface Iperf3Json {
  error?: string;
  end: { sum_sent: Iperf3Sum; sum_received: Iperf3Sum; sum?: Iperf3Sum };
}

/** Runs iperf3 once. @throws PreflexError when it is missing, cannot connect, or reports an error */
export async function runIperf3(scope: LabScope, options: Iperf3Options): Promise<Iperf3Result> {
  const port = options.port ?? 5201;
  // At its address, for a UDP server would answer from whichever the route back has.
  const server = scope.spawn(['iperf3', '-s', '-1', '-p', String(port), '-B', options.address], {
    netns: options.serverNetns,
    stdio: 'ignore',
  });
  try {
    await waitForListen(port, { netns: options.serverNetns });
    const seconds = options.seconds ?? 5;
    const { stdout } = await execIn(clientArgv(options, port, seconds), {
      netns: options.clientNetns,
      timeoutMs: (options.bytes === undefined ? seconds : 60) * 1000 + 60_000,
    });
    return readResult(JSON.parse(stdout) as Iperf3Json, options.udpBitsPerSec !== undefined);
  } finally {
    await endProcess(server);
  }
}

function clientArgv(options: Iperf3Options, port: number, seconds: number): string[] {
  const argv = ['iperf3', '-J', '-c', options.address, '-p', String(port), '-P', String(options.flows ?? 1)];
  argv.push(...(options.bytes === undefined ? ['-t', String(seconds)] : ['-n', String(options.bytes)]));
  if (options.udpBitsPerSec === undefined) argv.push('-C', options.congestion ?? 'cubic');
  else argv.push('-u', '-b', String(options.udpBitsPerSec));
  if (options.datagramBytes !== undefined) argv.push('-l', String(options.datagramBytes));
  if (options.tcpBitsPerSec !== undefined) argv.push('-b', String(options.tcpBitsPerSec));
  if (options.dscp !== undefined) argv.push('--dscp', String(options.dscp));
  if (options.processors !== undefined) {
    argv.push('-A', `${options.processors.client},${options.processors.server}`);
  }
  if (options.reverse) argv.push('-R');
  return argv;
}

function readResult(json: Iperf3Json, isUdp: boolean): Iperf3Result {
  if (json.error !== undefined) throw new PreflexError('ERR_SYSTEM', `iperf3: ${json.error}`);
  const { sum_sent: sent, sum_received: received } = json.end;
  return {
    bitsPerSec: received.bits_per_second,
    sentBytes: sent.bytes,
    receivedBytes: received.bytes,
    retransmits: sent.retransmits ?? 0,
    lostDatagrams: isUdp ? (json.end.sum?.lost_packets ?? 0) : 0,
  };
}
