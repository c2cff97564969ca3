/**
 * What a BPF object holds, read from its bytes alone: programs, maps and the layouts of their keys and values. The same
 * bytes give the same spec on every machine; kernel objects are made of it in program-object.ts.
 */
import type { StructLayout } from './btf.ts';
import { Btf } from './btf.ts';
import type { ElfFunction } from './elf.ts';
import { badObject, readElf, textAt } from './elf.ts';

/** A map that the object defines. */
export interface MapSpec {
  readonly name: string;
  /** BPF_MAP_TYPE_*. @see linux/bpf.h */
  readonly type: number;
  readonly maxEntries: number;
  readonly key: StructLayout;
  readonly value: StructLayout;
}

/** What an object holds. */
export interface ObjectSpec {
  readonly bytes: Uint8Array;
  readonly btf: Btf;
  readonly license: string;
  readonly programs: readonly ElfFunction[];
  readonly maps: readonly MapSpec[];
}

/** BPF_MAP_TYPE_PERCPU_ARRAY: a value for each processor. */
export const MAP_TYPE_PERCPU_ARRAY = 6;
/** BPF_MAP_TYPE_LRU_HASH. */
export const MAP_TYPE_LRU_HASH = 9;
/** BPF_MAP_TYPE_RINGBUF: a stream of records, without keys and values. */
export const MAP_TYPE_RINGBUF = 27;

/** Layout of the key and the value of a map that has none. */
const NOTHING: StructLayout = { name: '', size: 0, fields: [] };

/**
 * Reads an object.
 *
 * @throws PreflexError ERR_SYSTEM when it is damaged
 */
export function readObjectSpec(bytes: Uint8Array): ObjectSpec {
  const { sections, functions } = readElf(bytes);
  const find = (name: string): Uint8Array => {
    const section = sections.find((candidate) => candidate.name === name);
    if (section === undefined) throw badObject(`it has no section ${name}`);
    return section.bytes;
  };
  const btf = new Btf(find('.BTF'));
  return {
    bytes,
    btf,
    license: textAt(find('license'), 0),
    programs: functions.filter(({ section }) => section === 'tc'),
    maps: btf.variables('.maps').map((variable) => readMap(btf, variable)),
  };
}

/** The map of that name. @throws PreflexError ERR_SYSTEM when there is none */
export function mapSpec(spec: ObjectSpec, name: string): MapSpec {
  const found = spec.maps.find((map) => map.name === name);
  if (found === undefined) throw badObject(`it has no map ${name}`);
  return found;
}

/** Bytes from one processor's value to the next in a per-CPU map. */
export function perCpuStride(valueBytes: number): number {
  return Math.ceil(valueBytes / 8) * 8;
}

/**
 * A text that two maps share only if one's contents mean the same in the other.
 *
 * @param maxEntries - as it will be created
 */
export function mapShape(map: MapSpec, maxEntries: number): string {
  const shapeOf = ({ name, size, fields }: StructLayout): unknown => [
    name,
    size,
    fields.map((field) => [field.name, field.offset, field.size, field.count]),
  ];
  return JSON.stringify([map.type, maxEntries, shapeOf(map.key), shapeOf(map.value)]);
}

/**
 * A map is a struct of pointers: `type` and `max_entries` to arrays as long as the number, `key` and `value` to the
 * types; a ring buffer has neither of these two.
 *
 * @see bpf/bpf_helpers.h, __uint and __type
 */
function readMap(btf: Btf, { name, type }: { readonly name: string; readonly type: number }): MapSpec {
  const members = new Map(btf.members(type).map((member) => [member.name, member.type]));
  const member = (field: string): number => {
    const found = members.get(field);
    if (found === undefined) throw badObject(`map ${name} has no ${field}`);
    return btf.pointedTo(found);
  };
  const isRing = btf.arrayLength(member('type')) === MAP_TYPE_RINGBUF;
  const layoutOf = (field: string): StructLayout => (isRing ? NOTHING : btf.layoutOf(member(field)));
  return {
    name,
    type: btf.arrayLength(member('type')),
    maxEntries: btf.arrayLength(member('max_entries')),
    key: layoutOf('key'),
    value: layoutOf('value'),
  };
}
