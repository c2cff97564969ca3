/** Real-time priority, in a process of its own: this one stays as it is. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { setRealTimePriority } from '../../lib/sys/scheduler.ts';

const scheduler = fileURLToPath(new URL('../../lib/sys/scheduler.ts', import.meta.url));
/** Field 41 of /proc/PID/stat: the policy. @see proc_pid_stat(5) */
const policyOf = (stat: string): number => Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38]);

describe('setRealTimePriority', () => {
  it.each([0, 100, 1.5])('refuses priority %d', (priority) => {
    expect(() => setRealTimePriority(priority)).toThrow(/priority/);
  });

  it.runIf(process.geteuid?.() === 0)('makes the thread real-time, and not its children', () => {
    const code = `
      import { execFileSync } from 'node:child_process';
      import { readFileSync } from 'node:fs';
      import { setRealTimePriority } from ${JSON.stringify(scheduler)};
      setRealTimePriority(1);
      process.stdout.write(JSON.stringify([
        readFileSync('/proc/self/stat', 'utf8'),
        execFileSync('cat', ['/proc/self/stat'], { encoding: 'utf8' }),
      ]));`;
    const argv = ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', code];
    const stats = JSON.parse(execFileSync(process.execPath, argv, { encoding: 'utf8' })) as string[];
    expect(stats.map((stat) => policyOf(stat) & 0xff)).toEqual([1, 0]);
    expect(policyOf(readFileSync('/proc/self/stat', 'utf8'))).toBe(0);
  });
});
