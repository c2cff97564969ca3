/**
 * What `/metrics` answers: the families of one daemon as text. Everything is read when it is asked for, and never in the
 * packet loop; how often that may be is bounded here.
 */
import { Registry } from 'prom-client';
import type { HttpHandler, HttpRoutes } from '../http-listener.ts';
import { sendBody } from '../http-listener.ts';
import type { MetricFamily } from './family.ts';
import { registerFamily } from './family.ts';

/** Until then who asks gets the same text again, ms: reading takes time that packets would wait. */
const FRESH_MS = 500;

/** Exports families. */
export class MetricsExporter {
  readonly #registry = new Registry();
  readonly #freshMs: number;
  #text: Promise<string> | undefined;
  #readAtMs = 0;

  /** @param freshMs - for how long a text is handed out again, ms; default 500 */
  constructor(families: readonly MetricFamily[], freshMs = FRESH_MS) {
    this.#freshMs = freshMs;
    for (const family of families) registerFamily(this.#registry, family);
  }

  /** The text format of Prometheus. */
  text(): Promise<string> {
    const nowMs = performance.now();
    if (this.#text === undefined || nowMs - this.#readAtMs >= this.#freshMs) {
      this.#text = this.#registry.metrics();
      this.#readAtMs = nowMs;
    }
    return this.#text;
  }

  /** The path `/metrics`, for an {@link HttpListener}. */
  get routes(): HttpRoutes {
    const handler: HttpHandler = async (request, response) => {
      sendBody(request, response, this.#registry.contentType, await this.text());
    };
    return { '/metrics': handler };
  }
}

/**
 * Calls `read` once for all families that ask in the same turn of the event loop: those of one answer share what they
 * are copied from.
 */
export function oncePerTurn<T>(read: () => T): () => T {
  let kept: { readonly value: T } | undefined;
  return () => {
    if (kept === undefined) {
      kept = { value: read() };
      setImmediate(() => {
        kept = undefined;
      });
    }
    return kept.value;
  };
}
