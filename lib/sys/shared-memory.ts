/** Memory that is shared with the kernel by a descriptor: mmap(2) of BPF maps. */
import { SystemError } from './errno.ts';
import { koffi } from './koffi.ts';
import { PreflexError } from '../errors.ts';
import { declareFunction, lastErrno } from './libc.ts';

const PROT_READ = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;
const SC_PAGESIZE = 30;

const cMmap = declareFunction(
  'void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset)',
) as unknown as (
  address: null,
  length: number,
  protection: number,
  flags: number,
  fd: number,
  offset: number,
) => bigint | null;
const cMunmap = declareFunction('int munmap(void *address, size_t length)') as unknown as (
  address: bigint,
  length: number,
) => number;
const cSysconf = declareFunction('long sysconf(int name)') as unknown as (name: number) => number;

/** Bytes of a page. */
export function pageBytes(): number {
  return cSysconf(SC_PAGESIZE);
}

/**
 * Maps memory of a BPF map.
 *
 * @param offset - bytes, whole pages
 * @returns its address, for {@link unmap}
 * @throws SystemError
 */
export function mapShared(
  fd: number,
  length: number,
  { offset = 0, isWritable = false }: { readonly offset?: number; readonly isWritable?: boolean } = {},
): bigint {
  const address = cMmap(null, length, isWritable ? PROT_READ_WRITE : PROT_READ, MAP_SHARED, fd, offset);
  if (address === null || address === MAP_FAILED) {
    throw new SystemError('mmap', lastErrno(), 'a BPF map', 'it needs root, or CAP_BPF');
  }
  return address;
}

/** Gives mapped memory back: nothing may look at it any more. */
export function unmap(address: bigint, length: number): void {
  cMunmap(address, length);
}

/** The values of a BPF array with BPF_F_MMAPABLE, to read as they stand, without a call. */
export class MappedArray {
  readonly #address: bigint;
  readonly #length: number;
  readonly #words: Uint32Array;
  readonly #figures: BigUint64Array;
  #isOpen = true;

  /**
   * @param fd - of the map; stays the caller's, who may close it
   * @param bytes - of all values: their size, which is a multiple of 8, times max_entries
   * @throws SystemError
   */
  constructor(fd: number, bytes: number) {
    const page = pageBytes();
    this.#length = Math.ceil(bytes / page) * page;
    this.#address = mapShared(fd, this.#length);
    const memory = koffi.view(this.#address, this.#length);
    this.#words = new Uint32Array(memory, 0, bytes / 4);
    this.#figures = new BigUint64Array(memory, 0, bytes / 8);
  }

  /** All of it in words of 32 bits; half of a figure of 64 bits may be older than the other half. */
  get words(): Uint32Array {
    return this.#open(this.#words);
  }

  /** All of it in figures of 64 bits, each of them read at once. */
  get figures(): BigUint64Array {
    return this.#open(this.#figures);
  }

  /** Gives the memory back. A second call does nothing. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    unmap(this.#address, this.#length);
  }

  #open<T>(view: T): T {
    if (!this.#isOpen) throw new PreflexError('ERR_SYSTEM', 'the BPF map is not mapped any more');
    return view;
  }
}
