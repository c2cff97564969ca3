/**
 * Hanging a program on a device: by a TCX link, which is pinned and can be given another program without a gap, or by
 * clsact where the kernel has no TCX (before 6.6), where the filter itself stays.
 */
import { invalidOption } from '../errors.ts';
import type { TrafficDirection } from '../sys/bpf.ts';
import { createTcxLink, detachLink, linkInterface, openPinned, pinObject, updateLink } from '../sys/bpf.ts';
import type { FilterPlace } from '../sys/libbpf.ts';
import { EINVAL, SystemError } from '../sys/errno.ts';
import { interfaceHardwareType } from '../sys/interface.ts';
import { attachClsact, detachClsact } from '../sys/libbpf.ts';
import type { PinFolder } from './pins.ts';

/** How programs hang on a device. */
export type Attachment = 'tcx' | 'clsact';
/** Both directions, in the order in which they are attached: what is learnt needs flows first. */
export const DIRECTIONS: readonly TrafficDirection[] = ['egress', 'ingress'];

/** Bytes in front of the IP header by hardware type. @see linux/if_arp.h */
const LINK_HEADER_BYTES: Readonly<Record<number, number>> = {
  1: 14, // Ethernet
  772: 14, // loopback
  512: 0, // PPP
  519: 0, // raw IP
  768: 0, // IPv4 and IPv6 tunnels
  769: 0,
  776: 0,
  65534: 0, // TUN
};

/** A device. */
export interface AttachTarget {
  readonly device: string;
  readonly ifindex: number;
  readonly pins: PinFolder;
  /** Name of the pin of its link; default: the direction. */
  readonly linkPin?: string | undefined;
  /** Where its clsact filter stands; default: the host's place. */
  readonly filter?: FilterPlace | undefined;
}

/** Bytes of the link layer of a device. @throws PreflexError ERR_INVALID_OPTION for a link layer that is not known */
export function linkHeaderBytes(device: string): number {
  const type = interfaceHardwareType(device);
  const bytes = LINK_HEADER_BYTES[type];
  if (bytes === undefined) {
    throw invalidOption(
      'device',
      device,
      `Ethernet, TUN, PPP and tunnel devices with the eBPF datapath (this is ARPHRD ${type})`,
    );
  }
  return bytes;
}

/**
 * Attaches a program in one direction, instead of the one of an earlier agent.
 *
 * @param wanted - undefined: TCX if the kernel has it, else clsact
 * @throws SystemError
 */
export function attachProgram(
  target: AttachTarget,
  direction: TrafficDirection,
  program: number,
  wanted: Attachment | undefined,
): Attachment {
  const { device, ifindex, filter } = target;
  if (wanted !== 'clsact' && attachTcx(target, direction, program, wanted === 'tcx')) {
    return 'tcx';
  }
  unpinLink(target, direction);
  attachClsact(program, ifindex, direction, device, filter);
  return 'clsact';
}

/** Takes this project's program off in one direction; true when there was one. */
export function detachProgram(target: AttachTarget, direction: TrafficDirection): boolean {
  const isPinned = unpinLink(target, direction);
  // A device that is gone has taken its filters along.
  const { device, filter, ifindex } = target;
  return (ifindex > 0 && detachClsact(ifindex, direction, device, filter)) || isPinned;
}

function unpinLink({ pins, linkPin }: AttachTarget, direction: TrafficDirection): boolean {
  const name = linkPin ?? direction;
  if (!pins.names().includes(name)) return false;
  const link = openPinned(pins.pin(name));
  try {
    pins.unpin([name]);
    // Or a packet of the next moment might meet this program and the one that follows it.
    if (link !== undefined) detachLink(link.number);
  } finally {
    link?.close();
  }
  return true;
}

/** Whether the programs of an earlier agent still hang on this very device. */
export function isAttachedTo(target: AttachTarget): boolean {
  return DIRECTIONS.every((direction) => isLinkedTo(target, direction));
}

/** Whether a link in that direction hangs on this very device. */
export function isLinkedTo({ ifindex, linkPin, pins }: AttachTarget, direction: TrafficDirection): boolean {
  const link = openPinned(pins.pin(linkPin ?? direction));
  if (link === undefined) return false;
  try {
    return linkInterface(link.number) === ifindex;
  } finally {
    link.close();
  }
}

/** False where the kernel has no TCX and that is no error. */
function attachTcx(
  { device, filter, ifindex, linkPin, pins }: AttachTarget,
  direction: TrafficDirection,
  program: number,
  isRequired: boolean,
): boolean {
  const pin = pins.pin(linkPin ?? direction);
  const earlier = openPinned(pin);
  if (earlier !== undefined) {
    try {
      updateLink(earlier.number, program);
      return true;
    } finally {
      earlier.close();
    }
  }
  const link = createTcxLink(program, ifindex, direction);
  if (typeof link === 'number') {
    if (link === -EINVAL && !isRequired) return false;
    throw new SystemError('bpf LINK_CREATE', -link, device, 'TCX links need Linux 6.6');
  }
  // An agent that had to use clsact.
  detachClsact(ifindex, direction, device, filter);
  try {
    pinObject(link.number, pin);
  } finally {
    // Only the pin holds it, so that taking the pin away is taking the program off.
    link.close();
  }
  return true;
}
