/**
 * The system call bpf(2): maps, pins, links and test runs of programs by their descriptors. Loading is libbpf's
 * (libbpf.ts).
 *
 * ```
 *  union bpf_attr, offsets in bytes
 *    map elements   0 map_fd  8 key  16 value | next_key  24 flags
 *    map batches    0 in_batch  8 out_batch  16 keys  24 values  32 count  36 map_fd
 *    pins           0 pathname  8 bpf_fd
 *    test runs      0 prog_fd  4 retval  8 data_size_in  12 data_size_out  16 data_in  24 data_out  32 repeat
 *                   36 duration  40 ctx_size_in  44 ctx_size_out  48 ctx_in  56 ctx_out
 *    information    0 bpf_fd  4 info_len  8 info
 *    queries        0 target_ifindex  4 attach_type  16 prog_ids  24 count
 *    links          0 prog_fd  4 target_ifindex  8 attach_type        update: 0 link_fd  4 new_prog_fd
 * ```
 *
 * @see bpf(2), linux/bpf.h
 */
import { PreflexError } from '../errors.ts';
import { E2BIG, EINTR, ENOENT, ENOMEM, ENOSPC, EPERM, SystemError } from './errno.ts';
import { Fd } from './fd.ts';
import { koffi } from './koffi.ts';
import { declareFunction, lastErrno } from './libc.ts';

const SYSCALL_NUMBERS: Partial<Record<NodeJS.Architecture, number>> = { x64: 321, arm64: 280 };
const ATTR_BYTES = 128;

const MAP_LOOKUP = 1;
const MAP_UPDATE = 2;
const MAP_DELETE = 3;
const MAP_NEXT_KEY = 4;
const OBJ_PIN = 6;
const OBJ_GET = 7;
const PROG_TEST_RUN = 10;
const OBJ_INFO = 15;
const PROG_QUERY = 16;
/** BPF_F_LOCK: the element's spin lock is taken, so that programs that take it see all of an update or nothing. */
const FLAG_LOCK = 4;
const MAP_LOOKUP_BATCH = 24;
const MAP_UPDATE_BATCH = 26;
const LINK_CREATE = 28;
const LINK_UPDATE = 29;
const LINK_DETACH = 34;

/** Where a program hangs on a device. */
export type TrafficDirection = 'ingress' | 'egress';
const TCX_ATTACH_TYPE: Record<TrafficDirection, number> = { ingress: 46, egress: 47 };
/** bpf_link_info: 0 type  4 id  8 prog_id  16 ifindex (of a TCX link). */
const LINK_INFO_BYTES = 64;
const LINK_INFO_IFINDEX = 16;
/** bpf_prog_info: 0 type  4 id; what does not fit is left out. */
const PROGRAM_INFO_BYTES = 64;
const PROGRAM_INFO_ID = 4;
/** Why an element may not be taken though nothing is wrong with it. */
const NO_ROOM = [ENOSPC, E2BIG, ENOMEM];
/** Programs that a device has in one direction at most: BPF_MPROG_MAX. */
const MAX_PROGRAMS = 64;

type Bytes = Uint8Array<ArrayBuffer>;

const cSyscall = declareFunction(
  'long syscall(long number, long command, void *attr, unsigned long size)',
) as unknown as (number: number, command: number, attr: Uint8Array, size: number) => number;

/** Bytes whose address stays: those of small typed arrays lie on V8's heap, where they move, unless given a buffer. */
export function fixedBytes(length: number): Bytes {
  return new Uint8Array(new ArrayBuffer(Math.max(length, 8)));
}

/** The arguments of one call. One object can be used for many calls. */
class Attr {
  readonly bytes = fixedBytes(ATTR_BYTES);
  readonly view = new DataView(this.bytes.buffer);
  /** What the kernel is pointed to, so that it is not collected. */
  readonly #pointedTo: Bytes[] = [];

  int(at: number, value: number): this {
    this.view.setUint32(at, value, true);
    return this;
  }

  pointer(at: number, bytes: Bytes): this {
    this.#pointedTo.push(bytes);
    this.view.setBigUint64(at, koffi.address(bytes), true);
    return this;
  }

  /** @returns the result, or minus the error number */
  call(command: number): number {
    const number = SYSCALL_NUMBERS[process.arch];
    if (number === undefined) {
      throw new PreflexError(
        'ERR_MISSING_REQUIREMENT',
        `the eBPF datapath knows x64 and arm64, and this is ${process.arch}`,
      );
    }
    for (;;) {
      const result = cSyscall(number, command, this.bytes, ATTR_BYTES);
      if (result >= 0) return result;
      const errno = lastErrno();
      if (errno !== EINTR) return -errno;
    }
  }
}

function refused(operation: string, errno: number, subject: string): SystemError {
  const remedy = errno === EPERM ? 'it needs root, or CAP_BPF and CAP_NET_ADMIN' : undefined;
  return new SystemError(`bpf ${operation}`, errno, subject, remedy);
}

/** A map by its descriptor. What a call reads or writes stands in {@link key} and {@link value}. */
export class BpfMap {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly #name: string;
  readonly #fd: number;
  readonly #element = new Attr();
  readonly #locked = new Attr();
  /** Without a value, which MAP_DELETE_ELEM does not take. */
  readonly #keyOnly = new Attr();

  /**
   * @param fd - stays open as long as this object is used; not closed by it
   * @param valueBytes - of all processors, for a per-CPU map
   */
  constructor(name: string, fd: number, keyBytes: number, valueBytes: number) {
    this.#name = name;
    this.#fd = fd;
    this.key = fixedBytes(keyBytes);
    this.value = fixedBytes(valueBytes);
    this.#element.int(0, fd).pointer(8, this.key).pointer(16, this.value);
    this.#locked.int(0, fd).pointer(8, this.key).pointer(16, this.value).int(24, FLAG_LOCK);
    this.#keyOnly.int(0, fd).pointer(8, this.key);
  }

  /** Descriptor of the map. */
  get fd(): number {
    return this.#fd;
  }

  /** Reads the element of {@link key} into {@link value}; false when there is none. */
  lookup(): boolean {
    return this.#call(this.#element, MAP_LOOKUP, 'MAP_LOOKUP_ELEM');
  }

  /** Writes {@link value} at {@link key}. */
  update(): void {
    this.#call(this.#element, MAP_UPDATE, 'MAP_UPDATE_ELEM');
  }

  /** The same, but where the map is full, or the kernel short of memory for it, it returns false. */
  updateIfRoom(): boolean {
    const result = this.#element.call(MAP_UPDATE);
    if (result < 0 && !NO_ROOM.includes(-result))
      throw refused('MAP_UPDATE_ELEM', -result, `map ${this.#name}`);
    return result >= 0;
  }

  /** The same as {@link update} and {@link lookup} for an element with a spin lock, which is taken. */
  updateLocked(): void {
    this.#call(this.#locked, MAP_UPDATE, 'MAP_UPDATE_ELEM');
  }

  /** Reads the element of {@link key} into {@link value} under its spin lock. */
  lookupLocked(): boolean {
    return this.#call(this.#locked, MAP_LOOKUP, 'MAP_LOOKUP_ELEM');
  }

  /** Deletes the element of {@link key}; false when there is none. */
  delete(): boolean {
    return this.#call(this.#keyOnly, MAP_DELETE, 'MAP_DELETE_ELEM');
  }

  /** Deletes all elements of a hash. */
  clear(): void {
    const first = new Attr().int(0, this.#fd).pointer(16, this.key);
    for (;;) {
      const result = first.call(MAP_NEXT_KEY);
      if (result === -ENOENT) return;
      if (result < 0) throw refused('MAP_GET_NEXT_KEY', -result, this.#name);
      this.delete();
    }
  }

  /** Fills all elements of an array with zeros. */
  zero(elements: number): void {
    const keys = fixedBytes(4 * elements);
    const view = new DataView(keys.buffer);
    for (let i = 0; i < elements; i++) view.setUint32(4 * i, i, true);
    const attr = new Attr().pointer(16, keys).pointer(24, fixedBytes(this.value.length * elements));
    const result = attr.int(32, elements).int(36, this.#fd).call(MAP_UPDATE_BATCH);
    if (result < 0) throw refused('MAP_UPDATE_BATCH', -result, `map ${this.#name}`);
  }

  /** Elements in a hash now, read in batches. */
  count(batch = 4096): number {
    let total = 0;
    this.readBatches(batch, (_keys, _values, count) => {
      total += count;
    });
    return total;
  }

  /**
   * Reads all elements of a hash or a trie in batches.
   *
   * @param visit - called for each batch: keys and values one behind the other, and how many; they do not hold after it
   */
  readBatches(batch: number, visit: (keys: Bytes, values: Bytes, count: number) => void): void {
    const [keys, values] = [this.key.length * batch, this.value.length * batch].map(fixedBytes);
    // A hash needs 4 bytes to tell where it stopped, a trie a key.
    const position = fixedBytes(this.key.length);
    const attr = new Attr().pointer(8, position).pointer(16, keys).pointer(24, values).int(36, this.#fd);
    for (let isFirst = true; ; isFirst = false) {
      attr.int(32, batch);
      if (!isFirst) attr.pointer(0, position);
      const result = attr.call(MAP_LOOKUP_BATCH);
      if (result < 0 && result !== -ENOENT) throw refused('MAP_LOOKUP_BATCH', -result, this.#name);
      visit(keys, values, attr.view.getUint32(32, true));
      if (result === -ENOENT) return;
    }
  }

  /**
   * Reads elements of an array in one call.
   *
   * @param first - index of the first
   * @param elements - how many, no more than there are from there on
   * @param into - room for them, kept where it is (see {@link fixedBytes})
   */
  readRange(first: number, elements: number, into: Bytes): void {
    const attr = new Attr()
      .pointer(8, fixedBytes(8))
      .pointer(16, fixedBytes(4 * elements))
      .pointer(24, into);
    if (first > 0) {
      const before = fixedBytes(8);
      new DataView(before.buffer).setUint32(0, first - 1, true);
      attr.pointer(0, before);
    }
    const result = attr.int(32, elements).int(36, this.#fd).call(MAP_LOOKUP_BATCH);
    if (result < 0 && result !== -ENOENT) throw refused('MAP_LOOKUP_BATCH', -result, `map ${this.#name}`);
  }

  #call(attr: Attr, command: number, operation: string): boolean {
    const result = attr.call(command);
    if (result === -ENOENT) return false;
    if (result < 0) throw refused(operation, -result, `map ${this.#name}`);
    return true;
  }
}

/** Runs a program on packets that it is given, without a device (BPF_PROG_TEST_RUN). */
export class TestRun {
  /** The packet, link-layer header first. */
  readonly packet = fixedBytes(4096);
  /** What the program made of it. */
  readonly result = fixedBytes(8192);
  /** The context, struct __sk_buff. */
  readonly context: Bytes;
  /** What the program made of it. */
  readonly contextResult: Bytes;
  readonly #name: string;
  readonly #attr = new Attr();

  /** @param contextBytes - size of struct __sk_buff, from the object's BTF */
  constructor(name: string, fd: number, contextBytes: number) {
    this.#name = name;
    this.context = fixedBytes(contextBytes);
    this.contextResult = fixedBytes(contextBytes);
    this.#attr
      .int(0, fd)
      .pointer(16, this.packet)
      .pointer(24, this.result)
      .pointer(48, this.context)
      .pointer(56, this.contextResult);
  }

  /**
   * Runs the program on the first `length` bytes of {@link packet}.
   *
   * @returns what the program returned
   * @throws SystemError EINVAL for a packet that the kernel does not take
   */
  run(length: number): number {
    this.#start(length, 1);
    return this.#attr.view.getUint32(4, true);
  }

  /** Runs it so often, one run on what the one before left; mean ns of a run, by the kernel's clock. */
  time(length: number, repeat: number): number {
    this.#start(length, repeat);
    return this.#attr.view.getUint32(36, true);
  }

  #start(length: number, repeat: number): void {
    this.#attr
      .int(8, length)
      .int(12, this.result.length)
      .int(32, repeat)
      .int(40, this.context.length)
      .int(44, this.contextResult.length);
    const result = this.#attr.call(PROG_TEST_RUN);
    if (result < 0) throw refused('PROG_TEST_RUN', -result, `program ${this.#name}`);
  }
}

function pathBytes(path: string): Bytes {
  const bytes = fixedBytes(Buffer.byteLength(path) + 1);
  Buffer.from(bytes.buffer).write(path);
  return bytes;
}

/** Pins an object at a path of a bpffs. @throws SystemError */
export function pinObject(fd: number, path: string): void {
  const result = new Attr().pointer(0, pathBytes(path)).int(8, fd).call(OBJ_PIN);
  if (result < 0) throw refused('OBJ_PIN', -result, path);
}

/** Opens a pinned object; undefined when there is none. @throws SystemError */
export function openPinned(path: string): Fd | undefined {
  const result = new Attr().pointer(0, pathBytes(path)).call(OBJ_GET);
  if (result === -ENOENT) return undefined;
  if (result < 0) throw refused('OBJ_GET', -result, path);
  return new Fd(result, path);
}

/**
 * Hangs a program on a device by a TCX link, which holds it there until its last descriptor and pin are gone.
 *
 * @returns minus the error number when the kernel refuses: EINVAL where it has no TCX (before 6.6)
 */
export function createTcxLink(program: number, ifindex: number, direction: TrafficDirection): Fd | number {
  const attr = new Attr().int(0, program).int(4, ifindex).int(8, TCX_ATTACH_TYPE[direction]);
  const result = attr.call(LINK_CREATE);
  return result < 0 ? result : new Fd(result, `the ${direction} link`);
}

/** Puts another program behind a link: every packet meets the one or the other. @throws SystemError */
export function updateLink(link: number, program: number): void {
  const result = new Attr().int(0, link).int(4, program).call(LINK_UPDATE);
  if (result < 0) throw refused('LINK_UPDATE', -result, 'a link');
}

/**
 * Takes the program of a link off its device, at once: without this the kernel does it a moment after the last of who holds
 * the link has let go.
 *
 * @throws SystemError
 */
export function detachLink(link: number): void {
  const result = new Attr().int(0, link).call(LINK_DETACH);
  if (result < 0) throw refused('LINK_DETACH', -result, 'a link');
}

/** Index of the device of a TCX link; 0 when the device is gone. @throws SystemError */
export function linkInterface(link: number): number {
  const info = fixedBytes(LINK_INFO_BYTES);
  const result = new Attr().int(0, link).int(4, info.length).pointer(8, info).call(OBJ_INFO);
  if (result < 0) throw refused('OBJ_GET_INFO_BY_FD', -result, 'a link');
  return new DataView(info.buffer).getUint32(LINK_INFO_IFINDEX, true);
}

/** The kernel's number of a program. @throws SystemError */
export function programId(program: number): number {
  const info = fixedBytes(PROGRAM_INFO_BYTES);
  const result = new Attr().int(0, program).int(4, info.length).pointer(8, info).call(OBJ_INFO);
  if (result < 0) throw refused('OBJ_GET_INFO_BY_FD', -result, 'a program');
  return new DataView(info.buffer).getUint32(PROGRAM_INFO_ID, true);
}

/** Numbers of the programs that hang on a device by TCX, in the order in which packets meet them. @throws SystemError */
export function tcxPrograms(ifindex: number, direction: TrafficDirection): number[] {
  const ids = fixedBytes(4 * MAX_PROGRAMS);
  const attr = new Attr().int(0, ifindex).int(4, TCX_ATTACH_TYPE[direction]).pointer(16, ids);
  const result = attr.int(24, MAX_PROGRAMS).call(PROG_QUERY);
  if (result < 0) throw refused('PROG_QUERY', -result, `device ${ifindex}`);
  const view = new DataView(ids.buffer);
  return Array.from({ length: attr.view.getUint32(24, true) }, (_, i) => view.getUint32(4 * i, true));
}
