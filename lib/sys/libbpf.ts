/**
 * libbpf, called through koffi: opening and loading BPF objects, and the classic way (clsact) of hanging programs on
 * devices.
 *
 * ```
 *  struct bpf_tc_hook: 0 size (u64)  8 ifindex  12 attach_point  16 parent
 *  struct bpf_tc_opts: 0 size (u64)  8 prog_fd  12 flags  16 prog_id  20 handle  24 priority
 * ```
 *
 * @see bpf/libbpf.h
 */
import { PreflexError } from '../errors.ts';
import type { TrafficDirection } from './bpf.ts';
import { fixedBytes } from './bpf.ts';
import { EEXIST, EINVAL, ENOENT, EPERM, SystemError } from './errno.ts';
import { koffi } from './koffi.ts';

/** The version that is asked for by name; part of Debian's package libbpf1. */
const LIBRARY = 'libbpf.so.1';
const LOG_BYTES = 1 << 20;
/** Lines of the verifier's log that an error shows: the reason stands at its end. */
const LOG_LINES = 40;
const TC_HOOK_BYTES = 24;
const TC_OPTS_BYTES = 32;
const TC_ATTACH_POINT: Record<TrafficDirection, number> = { ingress: 1, egress: 2 };
const TC_REPLACE = 1;
/** Where a filter stands among those of a device, so that it replaces and removes only its like. */
export interface FilterPlace {
  readonly handle: number;
  readonly priority: number;
}

/** Where those of this project's host stand. */
export const HOST_FILTER: FilterPlace = { handle: 0x7e01, priority: 0x7e01 };
/** Where those of its gateway do. */
export const GATEWAY_FILTER: FilterPlace = { handle: 0x7e02, priority: 0x7e02 };

type Pointer = bigint;

interface Calls {
  readonly open: (bytes: Uint8Array, length: number, options: null) => Pointer | null;
  readonly load: (object: Pointer) => number;
  readonly close: (object: Pointer) => void;
  readonly findProgram: (object: Pointer, name: string) => Pointer | null;
  readonly programFd: (program: Pointer) => number;
  readonly setAutoload: (program: Pointer, isLoaded: boolean) => number;
  readonly setLog: (program: Pointer, log: Uint8Array, length: number) => number;
  readonly findMap: (object: Pointer, name: string) => Pointer | null;
  readonly mapFd: (map: Pointer) => number;
  readonly setMaxEntries: (map: Pointer, entries: number) => number;
  readonly setPinPath: (map: Pointer, path: string) => number;
  readonly createHook: (hook: Uint8Array) => number;
  readonly attach: (hook: Uint8Array, options: Uint8Array) => number;
  readonly detach: (hook: Uint8Array, options: Uint8Array) => number;
}

let loaded: Calls | undefined;

/** The library, loaded when it is first needed. @throws PreflexError ERR_MISSING_REQUIREMENT */
function calls(): Calls {
  loaded ??= loadLibrary();
  return loaded;
}

/** Loads the library, as the first use of it would. @throws PreflexError ERR_MISSING_REQUIREMENT when it is missing */
export function requireLibbpf(): void {
  calls();
}

function loadLibrary(): Calls {
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load(LIBRARY);
  } catch {
    throw new PreflexError(
      'ERR_MISSING_REQUIREMENT',
      `the eBPF datapath needs ${LIBRARY}, which is missing: apt-get install libbpf1`,
    );
  }
  const declare = (prototype: string): never => library.func(prototype) as unknown as never;
  const setPrint = declare('void *libbpf_set_print(void *callback)') as (callback: null) => unknown;
  // It would write to standard error; what failed is in the errors.
  setPrint(null);
  return {
    open: declare('void *bpf_object__open_mem(const void *bytes, size_t length, const void *options)'),
    load: declare('int bpf_object__load(void *object)'),
    close: declare('void bpf_object__close(void *object)'),
    findProgram: declare('void *bpf_object__find_program_by_name(const void *object, const char *name)'),
    programFd: declare('int bpf_program__fd(const void *program)'),
    setAutoload: declare('int bpf_program__set_autoload(void *program, bool autoload)'),
    setLog: declare('int bpf_program__set_log_buf(void *program, void *log, size_t length)'),
    findMap: declare('void *bpf_object__find_map_by_name(const void *object, const char *name)'),
    mapFd: declare('int bpf_map__fd(const void *map)'),
    setMaxEntries: declare('int bpf_map__set_max_entries(void *map, uint32_t entries)'),
    setPinPath: declare('int bpf_map__set_pin_path(void *map, const char *path)'),
    createHook: declare('int bpf_tc_hook_create(void *hook)'),
    attach: declare('int bpf_tc_attach(const void *hook, void *options)'),
    detach: declare('int bpf_tc_detach(const void *hook, const void *options)'),
  };
}

/** A map before the load. */
export interface MapChoice {
  readonly name: string;
  readonly maxEntries: number;
  /** Taken over from there if it is there, and pinned there if not. */
  readonly pinPath?: string | undefined;
}

/** What to load of an object. */
export interface LoadChoice {
  /** The only programs that are loaded. */
  readonly programs: readonly string[];
  /** All programs of the object. */
  readonly allPrograms: readonly string[];
  readonly maps: readonly MapChoice[];
}

/** An object in the kernel. */
export class LoadedObject {
  readonly #object: Pointer;
  // The kernel writes into them while it loads, and libbpf keeps their addresses.
  readonly #logs = new Map<string, Uint8Array>();
  #isOpen = true;

  /**
   * Loads programs and maps.
   *
   * @param what - name of the object, for errors
   * @throws PreflexError ERR_MISSING_REQUIREMENT, SystemError with the end of the verifier's log
   */
  constructor(what: string, bytes: Uint8Array, choice: LoadChoice) {
    const object = calls().open(bytes, bytes.length, null);
    if (object === null) throw new SystemError('bpf_object__open_mem', koffi.errno(), what);
    this.#object = object;
    try {
      for (const map of choice.maps) this.#prepareMap(map);
      for (const name of choice.allPrograms) this.#prepareProgram(name, choice.programs.includes(name));
      const result = calls().load(object);
      if (result < 0) throw this.#loadError(what, -result);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Descriptor of a program that was loaded; it belongs to this object. */
  programFd(name: string): number {
    return calls().programFd(this.#program(name));
  }

  /** Descriptor of a map; it belongs to this object. */
  mapFd(name: string): number {
    return calls().mapFd(this.#map(name));
  }

  /** Closes all descriptors. What is pinned or attached stays in the kernel. The second call does nothing. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    calls().close(this.#object);
  }

  #program(name: string): Pointer {
    const program = calls().findProgram(this.#object, name);
    if (program === null) throw new SystemError('bpf_object__find_program_by_name', ENOENT, name);
    return program;
  }

  #map(name: string): Pointer {
    const map = calls().findMap(this.#object, name);
    if (map === null) throw new SystemError('bpf_object__find_map_by_name', ENOENT, name);
    return map;
  }

  #prepareMap({ name, maxEntries, pinPath }: MapChoice): void {
    const map = this.#map(name);
    check('bpf_map__set_max_entries', calls().setMaxEntries(map, maxEntries), name);
    if (pinPath !== undefined) check('bpf_map__set_pin_path', calls().setPinPath(map, pinPath), name);
  }

  #prepareProgram(name: string, isLoaded: boolean): void {
    const program = this.#program(name);
    check('bpf_program__set_autoload', calls().setAutoload(program, isLoaded), name);
    if (!isLoaded) return;
    const log = fixedBytes(LOG_BYTES);
    this.#logs.set(name, log);
    check('bpf_program__set_log_buf', calls().setLog(program, log, log.length), name);
  }

  #loadError(what: string, errno: number): SystemError {
    const logs = [...this.#logs].flatMap(([name, log]) => {
      const text = new TextDecoder().decode(log.subarray(0, log.indexOf(0))).trim();
      return text === '' ? [] : [`the verifier on ${name}:`, ...text.split('\n').slice(-LOG_LINES)];
    });
    const remedy = errno === EPERM ? 'it needs root, or CAP_BPF and CAP_NET_ADMIN' : undefined;
    return new SystemError(
      'loading',
      errno,
      what,
      [...(remedy ? [remedy] : []), ...logs].join('\n') || undefined,
    );
  }
}

function check(operation: string, result: number, subject: string): void {
  if (result < 0) throw new SystemError(operation, -result, subject);
}

/** Hangs a program on a device by clsact, replacing the one of this project that is there. @throws SystemError */
export function attachClsact(
  program: number,
  ifindex: number,
  direction: TrafficDirection,
  device: string,
  place = HOST_FILTER,
): void {
  const created = calls().createHook(tcHook(ifindex, direction));
  if (created < 0 && created !== -EEXIST) {
    throw new SystemError('bpf_tc_hook_create', -created, device, 'the kernel needs CONFIG_NET_SCH_INGRESS');
  }
  const attached = calls().attach(tcHook(ifindex, direction), tcOptions(place, program, TC_REPLACE));
  if (attached < 0) {
    throw new SystemError('bpf_tc_attach', -attached, device, 'the kernel needs CONFIG_NET_CLS_BPF');
  }
}

/** Takes this project's program off; true when there was one. Programs and the qdisc of others stay. @throws SystemError */
export function detachClsact(
  ifindex: number,
  direction: TrafficDirection,
  device: string,
  place = HOST_FILTER,
): boolean {
  const result = calls().detach(tcHook(ifindex, direction), tcOptions(place, 0, 0));
  // EINVAL: there is no such qdisc.
  if (result === -ENOENT || result === -EINVAL) return false;
  check('bpf_tc_detach', result, device);
  return true;
}

function tcHook(ifindex: number, direction: TrafficDirection): Uint8Array {
  const bytes = fixedBytes(TC_HOOK_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(TC_HOOK_BYTES), true);
  view.setInt32(8, ifindex, true);
  view.setInt32(12, TC_ATTACH_POINT[direction], true);
  return bytes;
}

function tcOptions({ handle, priority }: FilterPlace, program: number, flags: number): Uint8Array {
  const bytes = fixedBytes(TC_OPTS_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(TC_OPTS_BYTES), true);
  view.setInt32(8, program, true);
  view.setUint32(12, flags, true);
  view.setUint32(20, handle, true);
  view.setUint32(24, priority, true);
  return bytes;
}
