/** A second module of the consumer, with a namespace import and a re-export. */
export * as device from 'preflex/device';
export { LexHost as lexFromSubPath } from 'preflex/lex';
