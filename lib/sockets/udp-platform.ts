/**
 * What the sockets of a thread share, and whether this platform has it. Without it sockets are plain node:dgram ones,
 * and a warning says so once.
 */
import { isMainThread } from 'node:worker_threads';
import type { DatagramCalls } from '../sys/datagram-calls.ts';
import { loadDatagramCalls } from '../sys/datagram-calls.ts';
import { ReceiveVector } from '../sys/receive-vector.ts';
import { warnUnmarked } from './availability.ts';
import { SendStage } from './send-stage.ts';

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
}

let platform: Platform | undefined;

/**
 * The platform, made when the first socket asks; undefined, after a warning, where there is none.
 *
 * @param isForced - in a worker thread too. Node aborts the process when a worker is terminated whose loop watches a
 *   descriptor for koffi, and nothing can be done about it from inside.
 */
export function loadPlatform(isForced: boolean): Platform | undefined {
  if (process.env[FORCE_VARIABLE] === 'plain') {
    warnUnmarked(MODULE, `the environment says ${FORCE_VARIABLE}=plain`);
    return undefined;
  }
  if (!isMainThread && !isForced) {
    warnUnmarked(
      MODULE,
      "this is a worker thread; if it is never terminated from outside, say datapath: 'marked'",
    );
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
  };
  return platform;
}
