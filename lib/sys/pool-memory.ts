/**
 * Reads and writes between a descriptor and any place in a pool of memory, without allocating: the packet loop's way
 * into the system.
 *
 * A typed array can only be passed from its start, and an address passed as a number is a boxed float. So the pool has
 * one `struct iovec` in memory, and a call stores where and how much in it:
 *
 * ```
 *  struct iovec (16 bytes, 64-bit machines):  0 iov_base (u64)   8 iov_len (u64)
 * ```
 */
import { PreflexError } from '../errors.ts';
import { koffi } from './koffi.ts';
import { declareFunction, lastErrno } from './libc.ts';

const EFAULT = 14;
const TWO_TO_32 = 4_294_967_296;

type VectorCall = (fd: number, vector: Uint32Array, count: number) => number;
const cReadv = declareFunction('long readv(int fd, void *vector, int count)') as unknown as VectorCall;
const cWritev = declareFunction(
  'long writev(int fd, const void *vector, int count)',
) as unknown as VectorCall;

const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
/** Index of the lower half of a 64-bit field, counted in 32-bit words. */
const LOW = isLittleEndian ? 0 : 1;
const HIGH = 1 - LOW;

/** A pool that descriptors read into and write from. Keeps the pool alive. */
export class PoolMemory {
  readonly #pool: ArrayBuffer | SharedArrayBuffer;
  readonly #byteLength: number;
  readonly #baseLow: number;
  readonly #baseHigh: number;
  // Its buffer must be its own: V8 keeps the bytes of small typed arrays on its heap, where they move.
  readonly #vector = new Uint32Array(new ArrayBuffer(16));

  /**
   * @param pool - not resizable; it must not be transferred
   * @throws PreflexError ERR_MISSING_REQUIREMENT on a machine that is not 64-bit
   */
  constructor(pool: ArrayBuffer | SharedArrayBuffer) {
    if (koffi.sizeof('void *') !== 8) {
      throw new PreflexError('ERR_MISSING_REQUIREMENT', 'TUN devices need a 64-bit machine');
    }
    this.#pool = pool;
    this.#byteLength = pool.byteLength;
    const address = koffi.address(new Uint8Array(pool));
    this.#baseLow = Number(address & 0xffffffffn);
    this.#baseHigh = Number(address >> 32n);
  }

  /** Bytes of the pool. */
  get byteLength(): number {
    return this.#pool.byteLength;
  }

  /**
   * Reads up to `length` bytes to offset `at` of the pool.
   *
   * @returns bytes, or minus the errno; -EFAULT when the place is not inside the pool. @hotpath
   */
  read(fd: number, at: number, length: number): number {
    if (!this.#point(at, length)) return -EFAULT;
    const result = cReadv(fd, this.#vector, 1);
    return result < 0 ? -lastErrno() : result;
  }

  /** Writes `length` bytes from offset `at` of the pool; see {@link read}. @hotpath */
  write(fd: number, at: number, length: number): number {
    if (!this.#point(at, length)) return -EFAULT;
    const result = cWritev(fd, this.#vector, 1);
    return result < 0 ? -lastErrno() : result;
  }

  #point(at: number, length: number): boolean {
    if (!(at >= 0 && length >= 0 && at + length <= this.#byteLength)) return false;
    const low = this.#baseLow + at;
    const vector = this.#vector;
    vector[LOW] = low;
    vector[HIGH] = low < TWO_TO_32 ? this.#baseHigh : this.#baseHigh + 1;
    vector[2 + LOW] = length;
    vector[2 + HIGH] = 0;
    return true;
  }
}
