/** Progress in a terminal and elsewhere. */
import { describe, expect, it } from 'vitest';
import { Progress } from '../../lib/cli/progress.ts';

class Stream {
  text = '';
  readonly isTTY: boolean;

  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }

  write(text: string): void {
    this.text += text;
  }
}

describe('Progress', () => {
  it('draws its block anew in a terminal, below the lines that stay', () => {
    const stream = new Stream(true);
    const progress = new Progress(stream);
    progress.note('start');
    progress.show(1, ['a', 'b']);
    progress.show(2, ['c', 'd']);
    progress.note('more');
    progress.end();
    expect(stream.text).toBe('start\na\nb\n\u001b[2A\u001b[0Jc\nd\n\u001b[2A\u001b[0Jmore\n');
  });

  it('writes a plain line every ten seconds elsewhere', () => {
    const stream = new Stream(false);
    const progress = new Progress(stream);
    for (const seconds of [1, 2, 10, 11, 12]) progress.show(seconds, [`at ${seconds}`, '  l1']);
    progress.note('done');
    progress.end();
    expect(stream.text).toBe('at 1; l1\nat 11; l1\ndone\n');
  });
});
