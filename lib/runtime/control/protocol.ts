/**
 * What is said over a control socket: one JSON object a line, a request and its answer in turn.
 *
 * ```
 *   -> {"op":"routes","args":{"limit":20}}
 *   <- {"ok":true,"result":{...}}
 *   -> {"op":"fly"}
 *   <- {"ok":false,"message":"op: \"fly\" is not allowed; it takes one of hello, status, ..."}
 * ```
 *
 * Requests are 64 KiB at most, answers 4 MiB; a longer request is answered with an error and ends the connection.
 */
import { PreflexError, invalidOption, rejectUnknownKeys } from '../../errors.ts';

/** Longest request, bytes. */
export const MAX_REQUEST_BYTES = 65_536;
/** Longest answer, bytes. */
export const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** End of the name of a control socket's file. */
export const SOCKET_SUFFIX = '.sock';
/** What a name may be, in words. */
export const CONTROL_NAME_RULE =
  'a name of 1 to 64 letters, digits and . : _ -, beginning with a letter or digit';

/** Arguments of a request: values of JSON, not checked yet. */
export type ControlArguments = Readonly<Record<string, unknown>>;

/** A request. */
export interface ControlRequest {
  readonly op: string;
  readonly args: ControlArguments;
}

/** Its answer. */
export type ControlAnswer =
  { readonly ok: true; readonly result: unknown } | { readonly ok: false; readonly message: string };

/** Whether text can name a daemon. */
export function isControlName(text: string): boolean {
  return /^[A-Za-z0-9][\w.:-]{0,63}$/.test(text);
}

/** Reads the line of a request. @throws PreflexError ERR_INVALID_OPTION with what is wrong */
export function parseRequest(line: string): ControlRequest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new PreflexError('ERR_INVALID_OPTION', 'request: not JSON; it takes one object a line');
  }
  if (!isObject(value)) throw invalidOption('request', value, 'an object with op and args');
  rejectUnknownKeys('request', value, ['op', 'args']);
  const { op, args = {} } = value;
  if (typeof op !== 'string') throw invalidOption('op', op, 'the name of an operation');
  if (!isObject(args)) throw invalidOption('args', args, 'an object');
  return { op, args };
}

/** Reads the line of an answer. @throws PreflexError ERR_SYSTEM when it is none */
export function parseAnswer(line: string): ControlAnswer {
  try {
    const value: unknown = JSON.parse(line);
    if (isObject(value) && value['ok'] === true) return { ok: true, result: value['result'] };
    if (isObject(value) && value['ok'] === false && typeof value['message'] === 'string')
      return { ok: false, message: value['message'] };
  } catch {
    // the same as any other text
  }
  throw new PreflexError(
    'ERR_SYSTEM',
    'The daemon answered with something that is no answer: is it of this version?',
  );
}

/** Cuts what arrives into lines, of a bounded length. */
export class LineSplitter {
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * The lines that are complete now, without their ends.
   *
   * @throws PreflexError ERR_INVALID_OPTION when a line is too long; nothing may be pushed after that
   */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      this.#add(chunk.subarray(from, end));
      lines.push(Buffer.concat(this.#parts).toString('utf8'));
      this.#parts = [];
      this.#bytes = 0;
      from = end + 1;
    }
    this.#add(chunk.subarray(from));
    return lines;
  }

  #add(part: Buffer): void {
    this.#bytes += part.length;
    if (this.#bytes > this.#maxBytes)
      throw new PreflexError('ERR_INVALID_OPTION', `a line is longer than ${this.#maxBytes} bytes`);
    this.#parts.push(part);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
