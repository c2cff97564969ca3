/**
 * A terminal taken over for a while: another screen, no cursor, keys as they are pressed. Whatever ends the program but
 * SIGKILL, the terminal is put back before.
 */
import { emitKeypressEvents } from 'node:readline';
import type { ReadStream, WriteStream } from 'node:tty';
import type { TopLine } from './top-view.ts';

const ESC = '\u001b[';
const ENTER = `${ESC}?1049h${ESC}?25l`;
const LEAVE = `${ESC}0m${ESC}?25h${ESC}?1049l`;
const STYLES: Record<TopLine['style'], string> = {
  plain: '0',
  title: '7',
  heading: '1',
  warning: '33',
  faint: '2',
};
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** What happens at the terminal. */
export interface TerminalActions {
  /** A key by its name: `q`, `tab`, `up`, ... */
  readonly onKey: (name: string) => void;
  readonly onResize: () => void;
  /** A signal asks to end. */
  readonly onEnd: (signal: NodeJS.Signals) => void;
}

/** The terminal of this process, while it is taken over. */
export class Terminal {
  readonly #input: ReadStream;
  readonly #output: WriteStream;
  readonly #undo: (() => void)[] = [];
  #isOpen = true;

  /** Takes the terminal over. */
  constructor(input: ReadStream, output: WriteStream, { onEnd, onKey, onResize }: TerminalActions) {
    this.#input = input;
    this.#output = output;
    const close = (): void => {
      this.close();
    };
    const press = (_: string | undefined, key: { name?: string; ctrl?: boolean }): void => {
      // In raw mode the terminal makes no signal of it.
      if (key.ctrl === true && key.name === 'c') onEnd('SIGINT');
      else if (key.name !== undefined) onKey(key.name);
    };
    emitKeypressEvents(input);
    this.#listen(input, 'keypress', press);
    this.#listen(input, 'end', () => onEnd('SIGHUP'));
    this.#listen(output, 'resize', onResize);
    // The terminal may be gone; there is nothing to put back then.
    this.#listen(input, 'error', () => undefined);
    this.#listen(output, 'error', () => undefined);
    this.#listen(process, 'exit', close);
    // Before the error is printed, or it would go with the other screen.
    this.#listen(process, 'uncaughtExceptionMonitor', close);
    for (const signal of SIGNALS) this.#listen(process, signal, () => onEnd(signal));
    input.setRawMode(true);
    input.resume();
    output.write(ENTER);
  }

  /** Draws lines from the top; the rest of the screen is empty. */
  draw(lines: readonly TopLine[]): void {
    if (!this.#isOpen) return;
    const text = lines.map((line) => `${ESC}${STYLES[line.style]}m${line.text}${ESC}0m${ESC}K`).join('\r\n');
    this.#output.write(`${ESC}H${text}${ESC}J`);
  }

  /** Puts the terminal back. The second call does nothing. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    for (const undo of this.#undo) undo();
    this.#input.setRawMode(false);
    this.#input.pause();
    this.#output.write(LEAVE);
  }

  #listen(emitter: NodeJS.EventEmitter, event: string, listener: (...args: never[]) => void): void {
    const added = listener as (...args: unknown[]) => void;
    emitter.on(event, added);
    this.#undo.push(() => emitter.off(event, added));
  }
}
