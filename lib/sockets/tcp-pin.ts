/**
 * One pinned TCP connection: the kernel sends, this says with which DSCP.
 *
 * ```
 *                    assignment p                    a write after an idle gap, or newFlowlet()
 *   [ no path ] ------------------> [ pinned p ] ------------------------------------------+
 *        ^                               ^                                                  v
 *        |                               | assignment q: pinned q                    one segment FNE,
 *        |                               | none within the RTO: pinned p again       then LECT, no path
 *        |                               +--------------------------------------------------+
 * ```
 * The kernel takes the DSCP of a socket when it builds a segment, and builds it within the write of a connection that
 * was idle. So the first write of a flowlet is split: at most one segment's worth goes with the FNE mark, the mark is
 * taken back, the rest follows.
 *
 * A new flowlet is asked for on IPv6 only: on IPv4 the kernel does not show the DSCP of what is received after the
 * handshake (lib/sys/received-class.ts), so the answer could not be read.
 *
 * A path that no longer delivers (stall-watch.ts): on IPv6 the retransmissions go as FNE until one is acknowledged, and its
 * answer names another path, as far as it can be seen (path-search.ts); on IPv4 the connection tries the paths that others
 * of this process were assigned, in turn (path-turns.ts).
 */
import type { Socket } from 'node:net';
import { requireInteger } from '../errors.ts';
import { noteReceivedClass, readReceivedClass } from '../sys/received-class.ts';
import { readTcpInfo, socketFd, writeTrafficClass } from '../sys/socket-options.ts';
import type { TcpInfo } from '../sys/tcp-info.ts';
import type { MarkingScheme } from '../wire/marking/scheme.ts';
import {
  CODEPOINT_FNE,
  CODEPOINT_LECT,
  encodeMark,
  isAssignment,
  markPathId,
} from '../wire/marking/scheme.ts';
import { PathSearch } from './path-search.ts';
import { PathTurns } from './path-turns.ts';
import { StallWatch } from './stall-watch.ts';
import { NO_STATISTICS, type TcpStatistics } from './tcp-statistics.ts';

/** What a pin needs to know. */
export interface PinSettings {
  readonly scheme: MarkingScheme;
  /** Shortest idle gap that begins a new flowlet, milliseconds; Infinity for never. */
  readonly flowletGapMs: number;
  /** Successive timeouts after which the path is given up. */
  readonly fneAfterTimeouts: number;
}

/** Path IDs that connections of this process were assigned, in the order of their first assignment. */
const knownPaths = new Set<number>();

const DSCP_SHIFT = 2;
/** Bounds of the time between two looks for an answer, milliseconds: a sixteenth of the round trip in between. */
const MIN_LOOK_MS = 1;
const MAX_LOOK_MS = 20;
const LOOKS_PER_ROUND_TRIP = 16;

type WriteCallback = (error?: Error | null) => void;
type Chunk = { chunk: Uint8Array | string; encoding: BufferEncoding };
/** The parts of node's stream contract that a pin wraps. Documented for implementers of streams. */
interface StreamHooks {
  _write: (chunk: Uint8Array | string, encoding: BufferEncoding, callback: WriteCallback) => void;
  _writev?: (chunks: Chunk[], callback: WriteCallback) => void;
  _destroy: (error: Error | null, callback: (error?: Error | null) => void) => void;
}

/** The path ID that a received traffic class assigns, 0 for none. */
export function assignedPath(scheme: MarkingScheme, trafficClass: number | undefined): number {
  if (trafficClass === undefined) return 0;
  const mark = scheme.decodeTable[trafficClass >> DSCP_SHIFT]!;
  return isAssignment(scheme, mark) ? markPathId(mark) : 0;
}

/** The traffic class byte of a codepoint on a path. */
export function classOf(scheme: MarkingScheme, codepoint: number, pathId: number): number {
  return encodeMark(scheme, codepoint, pathId) << DSCP_SHIFT;
}

/** A connection that stays on its path. Made by `pinSocket`, `connect` and `pinServer`. */
export class TcpPin {
  /** The socket. It works as before; ending it ends the pin. */
  readonly socket: Socket;
  readonly #settings: PinSettings;
  readonly #version: 4 | 6;
  #isActive: boolean;
  #pathId = 0;
  #isFlowletDue = false;
  #lastWriteMs = performance.now();
  readonly #assignments: Record<string, number> = {};
  #keptPaths = 0;
  #flowlets = 0;
  #statistics: TcpStatistics = NO_STATISTICS;
  #look: NodeJS.Timeout | undefined;
  readonly #stalls: StallWatch;
  readonly #search = new PathSearch();
  readonly #turns = new PathTurns();
  /** Segments that had come when the connection began to ask for another path. */
  #segmentsAtStall = 0;

  /**
   * @param socket - connected
   * @param isActive - false where the platform cannot: then nothing is done
   * @param pathId - what the handshake announced, 0 for nothing
   * @param isAsked - the handshake asked for a path, so that the first write need not
   * @internal
   */
  constructor(socket: Socket, settings: PinSettings, isActive: boolean, pathId: number, isAsked: boolean) {
    this.socket = socket;
    this.#settings = settings;
    this.#isActive = isActive;
    this.#stalls = new StallWatch(
      {
        info: () => this.#readInfo(),
        stalled: () => this.#leavePath(),
        moved: (isIdle) => this.#settle(isIdle),
        proven: () => this.#search.end(),
      },
      settings.fneAfterTimeouts,
    );
    // An IPv4 connection of a dual-stack socket has an IPv4 header, and IPv4's options.
    const address = socket.remoteAddress ?? '';
    this.#version = address.includes(':') && !/^::ffff:\d+\./i.test(address) ? 6 : 4;
    if (!isActive) return;
    if (this.#version === 6) this.#attempt((fd) => noteReceivedClass(fd));
    if (pathId !== 0) this.#noteAssignment(pathId);
    this.#isFlowletDue = pathId === 0 && !isAsked && this.canAskForFlowlets;
    this.#pin(pathId);
    this.#hook();
  }

  /** Whether the connection is marked: false where the platform cannot, after {@link release}, and after the end. */
  get isActive(): boolean {
    return this.#isActive;
  }

  /** Path that the connection is pinned to, 0 for none. */
  get pathId(): number {
    return this.#pathId;
  }

  /** Whether a new flowlet can be asked for: on IPv6, where the answer can be read. */
  get canAskForFlowlets(): boolean {
    return this.#isActive && this.#version === 6;
  }

  /**
   * Pins the connection to a path that the program learnt elsewhere, from a UDP socket toward the same place for
   * example; for IPv4 clients, which cannot learn from TCP.
   *
   * @param pathId - 0 (none) to the scheme's largest, 6 for `pool2`
   * @throws PreflexError ERR_INVALID_OPTION
   */
  usePath(pathId: number): void {
    requireInteger('pathId', pathId, 0, this.#settings.scheme.maxPathId);
    if (!this.#isActive) return;
    this.#stopLooking();
    this.#isFlowletDue = false;
    this.#pin(pathId);
  }

  /**
   * Asks for a new flowlet: the segment that the next write begins with is FNE, and the connection moves to the path
   * of the answer. Happens by itself after an idle gap.
   *
   * @returns false when that cannot be, see {@link canAskForFlowlets}
   */
  newFlowlet(): boolean {
    if (!this.canAskForFlowlets) return false;
    this.#isFlowletDue = true;
    return true;
  }

  /** Counters now, or at the end of the connection. The kernel counts from the SYN on, not from pinning. */
  statistics(): TcpStatistics {
    const info = this.#readInfo();
    if (info !== undefined) this.#statistics = this.#describe(info);
    return { ...this.#statistics, isMarking: this.#isActive };
  }

  /** Ends the pin: the socket sends with DSCP 0 from now on. A second call does nothing. */
  release(): void {
    if (!this.#isActive) return;
    this.statistics();
    this.#attempt((fd) => writeTrafficClass(fd, 0, this.#version));
    this.#end();
  }

  #describe(info: TcpInfo): TcpStatistics {
    return {
      isMarking: this.#isActive,
      pathId: this.#pathId,
      sentPackets: info.segsOut,
      sentBytes: info.bytesSent,
      retransmittedPackets: info.totalRetrans,
      retransmittedBytes: info.bytesRetrans,
      lexPayloadBytes: 0,
      flowlets: this.#flowlets,
      assignments: { ...this.#assignments },
      keptPaths: this.#keptPaths,
    };
  }

  #pin(pathId: number): void {
    this.#pathId = pathId;
    this.#mark(CODEPOINT_LECT, pathId);
  }

  #mark(codepoint: number, pathId: number): void {
    const trafficClass = classOf(this.#settings.scheme, codepoint, pathId);
    this.#attempt((fd) => writeTrafficClass(fd, trafficClass, this.#version));
  }

  /** A socket that the kernel took away under us is unpinned; its own errors are told by the socket itself. */
  #attempt(use: (fd: number) => void): void {
    try {
      use(socketFd(this.socket));
    } catch {
      this.#end();
    }
  }

  #readInfo(): TcpInfo | undefined {
    let info: TcpInfo | undefined;
    if (this.#isActive) this.#attempt((fd) => (info = readTcpInfo(fd)));
    return info;
  }

  #noteAssignment(pathId: number): void {
    this.#assignments[pathId] = (this.#assignments[pathId] ?? 0) + 1;
    knownPaths.add(pathId);
  }

  #end(): void {
    this.#isActive = false;
    this.#stopLooking();
    this.#stalls.stop();
  }

  /** Successive timeouts: the path does not deliver. */
  #leavePath(): void {
    this.#stopLooking();
    if (this.canAskForFlowlets) {
      this.#flowlets++;
      this.#search.leave(this.#pathId);
      this.#pathId = 0;
      this.#segmentsAtStall = this.#readInfo()?.segsIn ?? 0;
      this.#mark(CODEPOINT_FNE, 0);
      return;
    }
    const next = this.#turns.next(this.#pathId, knownPaths);
    if (next !== this.#pathId) this.#pin(next);
  }

  /** A retransmission got through: what came back names the path. Returns whether that is settled. */
  #settle(isIdle: boolean): boolean {
    if (!this.canAskForFlowlets) {
      this.#turns.settle();
      return true;
    }
    const assigned = this.#answer(this.#segmentsAtStall);
    const pathId = this.#search.consider(assigned, knownPaths, isIdle);
    if (pathId === undefined) return false;
    if (pathId !== 0 && pathId === assigned) this.#noteAssignment(pathId);
    else if (pathId === 0) this.#isFlowletDue = true;
    this.#pin(pathId);
    return true;
  }

  #hook(): void {
    const hooks = this.socket as unknown as StreamHooks;
    const { _write: write, _writev: writev, _destroy: destroy } = hooks;
    hooks._write = (chunk, encoding, callback) => {
      this.#stalls.begin();
      if (!this.#beginsFlowlet()) write.call(this.socket, chunk, encoding, callback);
      else this.#writeFirst(write, toBuffer(chunk, encoding), callback);
    };
    if (writev !== undefined) {
      hooks._writev = (chunks, callback) => {
        this.#stalls.begin();
        if (!this.#beginsFlowlet()) writev.call(this.socket, chunks, callback);
        else {
          const buffers = chunks.map(({ chunk, encoding }) => toBuffer(chunk, encoding));
          this.#writeFirst(write, Buffer.concat(buffers), callback);
        }
      };
    }
    hooks._destroy = (error, callback) => {
      this.statistics();
      this.#end();
      destroy.call(this.socket, error, callback);
    };
  }

  /** Whether the write that comes now begins a flowlet; also notes the time of the write. */
  #beginsFlowlet(): boolean {
    const nowMs = performance.now();
    const silentMs = nowMs - this.#lastWriteMs;
    this.#lastWriteMs = nowMs;
    if (!this.canAskForFlowlets) return false;
    if (this.#isFlowletDue) return true;
    if (silentMs <= this.#settings.flowletGapMs) return false;
    const info = this.#readInfo();
    if (info === undefined) return false;
    const gapMs = Math.max(this.#settings.flowletGapMs, info.rtoUs / 1000);
    return info.lastDataSentMs > gapMs && info.unacked === 0 && info.notsentBytes === 0;
  }

  /** Sends the first segment's worth as FNE, the rest as LECT without a path until the answer. */
  #writeFirst(write: StreamHooks['_write'], bytes: Buffer, callback: WriteCallback): void {
    const info = this.#readInfo();
    // With data on its way or waiting, the kernel would send other segments with the mark too.
    if (info === undefined || info.unacked > 0 || info.notsentBytes > 0) {
      write.call(this.socket, bytes, 'buffer' as BufferEncoding, callback);
      return;
    }
    this.#isFlowletDue = false;
    this.#flowlets++;
    this.#mark(CODEPOINT_FNE, 0);
    const head = bytes.subarray(0, info.sndMss);
    const rest = bytes.subarray(head.length);
    write.call(this.socket, head, 'buffer' as BufferEncoding, (error) => {
      if (error || rest.length === 0) callback(error);
      else write.call(this.socket, rest, 'buffer' as BufferEncoding, callback);
    });
    this.#mark(CODEPOINT_LECT, 0);
    this.#lookForAnswer(info);
  }

  /** The gateway assigns the path to the first segment that comes back; later ones hide it. */
  #lookForAnswer(atFne: TcpInfo): void {
    this.#stopLooking();
    const untilMs = performance.now() + atFne.rtoUs / 1000;
    const roundTripMs = atFne.rttUs / 1000;
    const everyMs = Math.min(MAX_LOOK_MS, Math.max(MIN_LOOK_MS, roundTripMs / LOOKS_PER_ROUND_TRIP));
    this.#look = setInterval(() => {
      const pathId = this.#answer(atFne.segsIn);
      if (pathId !== 0) this.#noteAssignment(pathId);
      else if (performance.now() < untilMs && this.#isActive) return;
      this.#stopLooking();
      if (!this.#isActive) return;
      // Without an assignment the path of the flowlet before is kept.
      if (pathId === 0) this.#keptPaths++;
      this.#pin(pathId === 0 ? this.#pathId : pathId);
    }, everyMs);
    this.#look.unref();
  }

  /** The path assigned by the segment that came last, 0 when none came since or it assigns none. */
  #answer(segmentsBefore: number): number {
    let pathId = 0;
    this.#attempt((fd) => {
      const assigned = assignedPath(this.#settings.scheme, readReceivedClass(fd));
      if (assigned !== 0 && readTcpInfo(fd).segsIn > segmentsBefore) pathId = assigned;
    });
    return pathId;
  }

  #stopLooking(): void {
    clearInterval(this.#look);
    this.#look = undefined;
  }
}

function toBuffer(chunk: Uint8Array | string, encoding: BufferEncoding): Buffer {
  if (typeof chunk === 'string') return Buffer.from(chunk, encoding);
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}
