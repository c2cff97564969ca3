/**
 * What the sockets of a thread share, and whether this platform has it. Without it sockets are plain node:dgram ones,
 * and a warning says so once.
 */
import type { DatagramCalls } from '../sys/datagram-calls.ts';
import { loadDatagramCalls } from '../sys/datagram-calls.ts';
import { ReceiveVector } from '../sys/receive-vector.ts';
import { AF_INET, AF_INET6 } from '../sys/socket-address.ts';
import { warnUnmarked } from './availability.ts';
import { SendStage } from './datagram-sender.ts';
import { Peers } from './peers.ts';

/** What warnings say of the place. */
export const MODULE = 'preflex/udp';
/** Messages received in one call. */
const RECEIVE_MESSAGES = 64;
/** Environment variable that takes the platform's support away, for trying the fallback. */
const FORCE_VARIABLE = 'PREFLEX_UDP';

/** The shared parts. */
export interface Platform {
  readonly calls: DatagramCalls;
  readonly stage: SendStage;
  readonly receiveVector: ReceiveVector;
  readonly peers4: Peers;
  readonly peers6: Peers;
}

let platform: Platform | undefined;

/** The platform, made when the first socket asks; undefined, after a warning, where there is none. */
export function loadPlatform(): Platform | undefined {
  if (process.env[FORCE_VARIABLE] === 'plain') {
    warnUnmarked(MODULE, `the environment says ${FORCE_VARIABLE}=plain`);
    return undefined;
  }
  if (platform !== undefined) return platform;
  const calls = loadDatagramCalls();
  if (typeof calls === 'string') {
    warnUnmarked(MODULE, calls);
    return undefined;
  }
  platform = {
    calls,
    stage: new SendStage(calls),
    receiveVector: new ReceiveVector(calls, RECEIVE_MESSAGES),
    peers4: new Peers(calls, AF_INET),
    peers6: new Peers(calls, AF_INET6),
  };
  return platform;
}
