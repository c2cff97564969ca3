/** A map of a loaded object by its spec: the descriptor, and how many bytes its keys and values have. */
import { readFileSync } from 'node:fs';
import { BpfMap } from '../sys/bpf.ts';
import type { LoadedObject } from '../sys/libbpf.ts';
import type { MapSpec } from './object-spec.ts';
import { MAP_TYPE_PERCPU_ARRAY, perCpuStride } from './object-spec.ts';

/** Opens a map; it works as long as the object is open. */
export function openMap(object: LoadedObject, { name, type, key, value }: MapSpec): BpfMap {
  const valueBytes =
    type === MAP_TYPE_PERCPU_ARRAY ? perCpuStride(value.size) * possibleProcessors() : value.size;
  return new BpfMap(name, object.mapFd(name), key.size, valueBytes);
}

/** Processors that the kernel may have, 1 or more, which is how many values a per-CPU map holds. */
export function possibleProcessors(): number {
  const ranges = readFileSync('/sys/devices/system/cpu/possible', 'utf8').trim();
  const last = /(\d+)$/.exec(ranges)?.[1] ?? '0';
  return Number(last) + 1;
}
