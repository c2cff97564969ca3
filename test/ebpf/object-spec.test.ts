/** The spec of the host object: the same everywhere, taken from the bytes alone. */
import { expect, it } from 'vitest';
import { StructView } from '../../lib/ebpf/btf.ts';
import { loadObjectSpec } from '../../lib/ebpf/object-file.ts';
import {
  MAP_TYPE_LRU_HASH,
  MAP_TYPE_PERCPU_ARRAY,
  mapShape,
  mapSpec,
  readObjectSpec,
} from '../../lib/ebpf/object-spec.ts';
import { PreflexError } from '../../lib/errors.ts';
import { FLOW_KEY_WORDS } from '../../lib/flow/flow-key.ts';
import { FRAGMENT_ENTRIES } from '../../lib/lex/fragment-memory.ts';
import { describeObject } from '../support/ebpf.ts';

describeObject('the spec of host.bpf.o', () => {
  it('names the programs, those of the datapath and their twins with a clock of their own', () => {
    expect(
      loadObjectSpec('host')
        .programs.map(({ name }) => name)
        .sort(),
    ).toEqual(['lex_egress', 'lex_egress_at', 'lex_ingress', 'lex_ingress_at']);
  });

  it('describes the maps as the source defines them', () => {
    const spec = loadObjectSpec('host');
    expect(spec.maps.map(({ name, maxEntries }) => [name, maxEntries])).toEqual([
      ['flows', 65_536],
      ['locks', 1024],
      ['fragments', FRAGMENT_ENTRIES],
      ['counters', 1],
      ['settings', 1],
    ]);
    expect(mapSpec(spec, 'flows').type).toBe(MAP_TYPE_LRU_HASH);
    expect(mapSpec(spec, 'flows').key.size).toBe(4 * FLOW_KEY_WORDS);
    expect(mapSpec(spec, 'counters').type).toBe(MAP_TYPE_PERCPU_ARRAY);
    expect(() => mapSpec(spec, 'nothing')).toThrow(/has no map nothing/);
  });

  it('needs no helper that the kernel keeps for GPL-compatible programs', () => {
    expect(loadObjectSpec('host').license).toBe('MIT');
  });

  it('lays fields out one behind the other, within the struct', () => {
    const { btf } = loadObjectSpec('host');
    for (const name of ['lex_flow', 'lex_settings', 'lex_counters', 'flow_key', 'fragment_entry']) {
      const layout = btf.structLayout(name);
      let end = 0;
      for (const field of layout.fields) {
        expect(field.offset, `${name}.${field.name}`).toBeGreaterThanOrEqual(end);
        end = field.offset + field.size * field.count;
      }
      expect(end, name).toBeLessThanOrEqual(layout.size);
    }
  });

  it('knows sizes, signs and lengths of fields', () => {
    const fields = new Map(
      loadObjectSpec('host')
        .btf.structLayout('lex_flow')
        .fields.map((field) => [field.name, field]),
    );
    expect(fields.get('last_seen_ns')).toMatchObject({ size: 8, count: 1, isSigned: true });
    expect(fields.get('una')).toMatchObject({ size: 4, count: 1, isSigned: false });
    expect(fields.get('path')).toMatchObject({ size: 1, count: 1, isSigned: false });
  });

  it('finds the control buffer of the packet context, which libbpf headers define', () => {
    const layout = loadObjectSpec('host').btf.structLayout('__sk_buff');
    expect(layout.fields.find(({ name }) => name === 'cb')).toMatchObject({ offset: 48, size: 4, count: 5 });
  });

  it('tells maps of another shape apart, and the same one not', () => {
    const flows = mapSpec(loadObjectSpec('host'), 'flows');
    expect(mapShape(flows, 100)).toBe(mapShape(mapSpec(loadObjectSpec('host'), 'flows'), 100));
    expect(mapShape(flows, 101)).not.toBe(mapShape(flows, 100));
    const [first, ...others] = flows.value.fields;
    const renamed = { ...flows, value: { ...flows.value, fields: [{ ...first, name: 'other' }, ...others] } };
    expect(mapShape(renamed, 100)).not.toBe(mapShape(flows, 100));
  });

  it('ends in an error of this library for an object cut or damaged anywhere', () => {
    const { bytes } = loadObjectSpec('host');
    for (let length = 0; length < bytes.length; length += 997) {
      expect(() => readObjectSpec(bytes.slice(0, length))).toThrow(PreflexError);
    }
    expect(() => readObjectSpec(new Uint8Array(1000))).toThrow(/not an ELF file/);
  });
});

describeObject('a view of a struct', () => {
  it('reads what it wrote, signed and unsigned, and refuses fields that are not there', () => {
    const view = new StructView(loadObjectSpec('host').btf.structLayout('lex_flow'));
    view.write('last_seen_ns', -5);
    view.write('una', -1);
    view.write('path', 15);
    expect([view.read('last_seen_ns'), view.read('una'), view.read('path')]).toEqual([-5, 2 ** 32 - 1, 15]);
    expect(() => view.read('nothing')).toThrow(/no field nothing/);
    expect(() => view.read('una', 1)).toThrow(/has 1 elements/);
  });
});

describeObject('the spec of gateway.bpf.o', () => {
  it.each([
    ['prefixes4', { length: 0, address: 4 }, 8],
    ['prefixes6', { length: 0, address: 4 }, 20],
    ['inside4', { length: 0, address: 4 }, 8],
    ['inside6', { length: 0, address: 4 }, 20],
    ['failing', { h1: 0, h2: 4 }, 8],
    ['repeated', { h1: 0, h2: 4 }, 8],
    ['probes', { h1: 0, h2: 4, destination: 8, slot: 12 }, 16],
  ])('has the keys of %s where the gateway writes and reads them by number', (name, offsets, size) => {
    const { key } = mapSpec(loadObjectSpec('gateway'), name);
    expect(Object.fromEntries(key.fields.map((field) => [field.name, field.offset]))).toEqual(offsets);
    expect(key.size).toBe(size);
  });
});
