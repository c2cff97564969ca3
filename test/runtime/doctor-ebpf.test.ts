/** What the doctor says of the eBPF datapath. */
import { describe, expect, it } from 'vitest';
import { PreflexError } from '../../lib/errors.ts';
import { examineEbpf } from '../../lib/runtime/doctor-ebpf.ts';

describe('the doctor, of the eBPF datapath', () => {
  it.each(['5.14.0-503.el9', '4.19.0', '5.4.0'])('refuses Linux %s, and looks no further', (kernel) => {
    const check = examineEbpf(kernel, [() => expect.unreachable()]);
    expect(check).toMatchObject({ ok: false, needed: 'optional', found: `Linux ${kernel}` });
    expect(check.remedy).toBe('Boot a kernel of version 5.15 or later.');
  });

  it('says what brings the first thing that is missing', () => {
    const lack = (what: string) => () => {
      throw new PreflexError('ERR_MISSING_REQUIREMENT', what);
    };
    const check = examineEbpf('6.6.0', [() => undefined, lack('npm run build:bpf'), lack('something else')]);
    expect(check).toMatchObject({ ok: false, found: 'not ready', remedy: 'npm run build:bpf' });
  });

  it('is content when nothing is missing', () => {
    expect(examineEbpf('5.15.0', [() => undefined])).toMatchObject({ ok: true, remedy: '' });
  });
});
