/** Asks the kernel for all there is of something by netlink, and reads the answer before it returns. For small answers. */
import { EINTR, EMSGSIZE, SystemError } from '../sys/errno.ts';
import { NetlinkSocket } from '../sys/netlink.ts';
import type { NetlinkHeader } from './netlink-messages.ts';
import {
  NLMSG_DONE,
  NLMSG_ERROR,
  NLM_F_DUMP_INTR,
  forEachMessage,
  readErrorNumber,
} from './netlink-messages.ts';

/** The kernel makes parts of 32 KiB at most. */
const BUFFER_BYTES = 65_536;
const RECEIVE_BYTES = 1 << 20;
const NLM_F_MULTI = 2;
/** An answer during which something changed is asked for again so many times. */
const MAX_REPEATS = 3;

/** A socket for questions, in the network namespace that it was opened in. */
export class NetlinkReader {
  readonly #socket: NetlinkSocket;
  readonly #bytes = new Uint8Array(BUFFER_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  #sequence = 0;

  /** @param family - NETLINK_ number @throws SystemError, EPROTONOSUPPORT for a family that this kernel does not have */
  constructor(family: number) {
    this.#socket = NetlinkSocket.open(0, RECEIVE_BYTES, family);
  }

  /**
   * Asks once, or again while the answer may lack something.
   *
   * @param request - makes the request with a sequence number
   * @param visit - called for each message of the answer; of those of an answer that is asked for again as well
   * @returns 0, or why there is no answer: the error number of the kernel, EINTR when it changed each time, EMSGSIZE
   *   for bytes that make no sense
   */
  read(
    request: (sequence: number) => Uint8Array,
    visit: (view: DataView, header: NetlinkHeader) => void,
  ): number {
    for (let repeat = 0; ; repeat++) {
      const errno = this.#readOnce(request, visit);
      if (errno !== EINTR || repeat === MAX_REPEATS) return errno;
    }
  }

  /** Closes; a second call does nothing. */
  close(): void {
    this.#socket.close();
  }

  #readOnce(
    request: (sequence: number) => Uint8Array,
    visit: (view: DataView, header: NetlinkHeader) => void,
  ): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    const sequence = this.#sequence;
    try {
      this.#socket.send(request(sequence));
    } catch (error) {
      if (error instanceof SystemError) return error.errno;
      throw error;
    }
    let end: number | undefined;
    let isInterrupted = false;
    while (end === undefined) {
      // The next part of a dump is made while one is handed over, so there is always one to read.
      const length = this.#socket.receive(this.#bytes);
      if (length < 0) return -length;
      const isWhole = forEachMessage(this.#view, Math.min(length, BUFFER_BYTES), (header) => {
        // Another one is left of a question that was given up.
        if (header.sequence !== sequence) return;
        if ((header.flags & NLM_F_DUMP_INTR) !== 0) isInterrupted = true;
        if (header.type === NLMSG_ERROR || header.type === NLMSG_DONE) {
          end = readErrorNumber(this.#view, header);
        } else {
          visit(this.#view, header);
          // Of a question with one answer.
          if ((header.flags & NLM_F_MULTI) === 0) end = 0;
        }
      });
      if (!isWhole || length > BUFFER_BYTES) return EMSGSIZE;
    }
    return end === 0 && isInterrupted ? EINTR : end;
  }
}
