/** Where the ends of a benchmark's traffic are kept. */
import { expect, it } from 'vitest';
import { endProcessors } from '../../../namespaces-lab/runs/bench-arms.ts';

const statusOf = (list: string): string => `Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t${list}\n`;

it('the ends are kept on the first two processors that the process may use', () => {
  expect(endProcessors(statusOf('0-1'))).toEqual({ client: 0, server: 1 });
  expect(endProcessors(statusOf('2,5-7'))).toEqual({ client: 2, server: 5 });
  expect(endProcessors(statusOf('4-5,9'))).toEqual({ client: 4, server: 5 });
});

it('on one processor the ends are kept nowhere', () => {
  expect(endProcessors(statusOf('0'))).toBeUndefined();
  expect(endProcessors(statusOf('3-3'))).toBeUndefined();
});
