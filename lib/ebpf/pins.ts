/**
 * Where the programs of a device go on without a process: a folder of a bpffs, for each device of each network namespace.
 *
 * ```
 *  /run/preflex/bpf/<inode of the namespace>-<device>/egress, ingress        the links (TCX)
 *                                                    /flows-<shape>, ...     the maps
 *                 <inode of the namespace>-gateway%3a<inside device>/link-<device>, settings-<shape>, ...
 * ```
 *
 * A map's pin carries a hash of its shape (object-spec.ts), so that a newer agent takes over only what means the same to
 * it.
 *
 * A process in `ip netns exec` has mounts of its own, which end with it, and pins would end with them. So the bpffs is
 * the one that the machine's first process sees, or where that is out of reach (in a container without a process
 * namespace of its own) the one of the oldest ancestor that is not.
 */
import { createHash } from 'node:crypto';
import {
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statfsSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { PreflexError } from '../errors.ts';
import { namespaceInode, run } from '../netns/index.ts';
import { linkInterface, openPinned } from '../sys/bpf.ts';
import type { MapSpec } from './object-spec.ts';
import { mapShape } from './object-spec.ts';

const MOUNT_POINT = '/run/preflex/bpf';
const BPFFS_MAGIC = 0xcafe4a11;

/** The bpffs by a descriptor that stays open: its path holds when the process that it was found by ends. */
let openedPath: string | undefined;

/** The pins of one device. */
export class PinFolder {
  readonly path: string;

  /**
   * The folder of a device of this process's namespace; it is not made yet. A bpffs is mounted where there is none.
   *
   * @throws PreflexError ERR_MISSING_REQUIREMENT where that cannot be done
   */
  constructor(device: string) {
    this.path = join(bpffs(), `${namespaceInode()}-${pinName(device)}`);
  }

  /** Makes the folder unless it is there. */
  make(): void {
    mkdirSync(this.path, { recursive: true, mode: 0o700 });
  }

  /** Names of the pins; none when there is no folder. */
  names(): string[] {
    return readFolder(this.path);
  }

  /** Path of a pin. */
  pin(name: string): string {
    return join(this.path, name);
  }

  /**
   * Path of a map's pin.
   *
   * @param meaning - what else must be the same for its contents to mean the same
   */
  mapPin(map: MapSpec, maxEntries: number, meaning = ''): string {
    const text = mapShape(map, maxEntries) + meaning;
    const hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
    return this.pin(`${map.name}-${hash}`);
  }

  /** Takes pins away; the kernel objects go when nothing else holds them. */
  unpin(names: readonly string[]): void {
    for (const name of names) unlinkSync(this.pin(name));
  }

  /** Takes all away. */
  remove(): void {
    removeFolder(this.path);
  }
}

/** A name as it can stand in a bpffs, which takes no dots. */
export function pinName(name: string): string {
  return name.replaceAll(/[^\w-]/g, (character) => `%${character.charCodeAt(0).toString(16)}`);
}

/** The name that {@link pinName} was given. */
export function nameOfPin(name: string): string {
  return name.replaceAll(/%([0-9a-f]{2})/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)));
}

/** First part of the names of a gateway's links. */
export const LINK_PREFIX = 'link-';

/** Removes the folders all of whose devices are gone, so that their links hang in nothing. */
export function sweepPins(): void {
  const root = bpffs();
  for (const name of readFolder(root)) {
    // The kernel's own files, such as maps.debug.
    if (name.includes('.')) continue;
    const links = readFolder(join(root, name)).filter(
      (pin) => pin === 'egress' || pin.startsWith(LINK_PREFIX),
    );
    if (links.length > 0 && links.every((pin) => isLinkGone(join(root, name, pin))))
      removeFolder(join(root, name));
  }
}

function isLinkGone(path: string): boolean {
  const link = openPinned(path);
  if (link === undefined) return false;
  try {
    return linkInterface(link.number) === 0;
  } finally {
    link.close();
  }
}

/**
 * Removes all folders of a network namespace: its programs come off its devices, and their flows and counters go.
 *
 * @param inode - of the namespace, which need not exist any more
 */
export function removeNamespacePins(inode: number): void {
  for (const name of listNamespacePins(inode)) removeFolder(join(bpffs(), name));
}

/** Names of the folders of a network namespace, by its inode. */
export function listNamespacePins(inode: number): string[] {
  return readFolder(bpffs()).filter((name) => name.startsWith(`${inode}-`));
}

function removeFolder(path: string): void {
  for (const name of readFolder(path)) unlinkSync(join(path, name));
  try {
    rmdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

function readFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function bpffs(): string {
  openedPath ??= openBpffs();
  return openedPath;
}

function openBpffs(): string {
  const pid = outermostProcess();
  const path = join(`/proc/${pid}/root`, MOUNT_POINT);
  if (!isBpffs(path)) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    run([
      ...['nsenter', `--mount=/proc/${pid}/ns/mnt`],
      ...['mount', '-t', 'bpf', '-o', 'mode=0700', 'preflex', MOUNT_POINT],
    ]);
  }
  if (!isBpffs(path)) {
    throw new PreflexError(
      'ERR_MISSING_REQUIREMENT',
      `There is no bpffs at ${MOUNT_POINT}, which the eBPF datapath needs: the kernel needs CONFIG_BPF_SYSCALL.`,
    );
  }
  return `/proc/self/fd/${openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)}`;
}

/** The first process of the machine, or the oldest ancestor whose mounts this process may look at. */
function outermostProcess(): number {
  if (isReachable(1)) return 1;
  let pid = process.pid;
  for (;;) {
    // Behind the name in brackets, which may hold anything: state and parent.
    const parent = Number(/.*\) \S (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1] ?? 0);
    if (parent === 0 || !isReachable(parent)) return pid;
    pid = parent;
  }
}

function isReachable(pid: number): boolean {
  try {
    statfsSync(`/proc/${pid}/root/`);
    return true;
  } catch {
    return false;
  }
}

function isBpffs(path: string): boolean {
  try {
    return statfsSync(path).type === BPFFS_MAGIC;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
