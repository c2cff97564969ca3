/** The HTTP listeners of a daemon: `--metrics` and `--ui`. */
import { InvalidArgumentError } from 'commander';
import type { ListenAddress } from '../runtime/listen-address.ts';
import { LISTEN_ADDRESS_RULE, parseListenAddress } from '../runtime/listen-address.ts';
import type { MetricFamily } from '../web/metrics/family.ts';

/** The open listeners of a daemon. */
export interface WebListeners {
  /** What is where, a line each. */
  readonly setUp: readonly string[];
  close(): void;
}

/** What a daemon is to show, and where; what has no address is off. */
export interface WebOptions {
  readonly metrics: {
    readonly at: ListenAddress | undefined;
    readonly families: () => Promise<MetricFamily[]>;
  };
}

/** Help text of `--metrics`. */
export const METRICS_HELP =
  'show metrics for Prometheus at /metrics there; loopback unless an address is given';

/** An address to listen at, from a checked file. */
export function readListen(text: string | undefined): ListenAddress | undefined {
  return text === undefined ? undefined : parseListenAddress(text);
}

/** An address to listen at, from the command line. */
export function parseListen(text: string): ListenAddress {
  const address = parseListenAddress(text);
  if (address === undefined) throw new InvalidArgumentError(`It takes ${LISTEN_ADDRESS_RULE}.`);
  return address;
}

/**
 * Opens the listeners of a daemon that runs.
 *
 * @param stop - ends the daemon, when one of them cannot be opened
 */
export async function openWeb({ metrics }: WebOptions, stop: () => void): Promise<WebListeners> {
  const setUp: string[] = [];
  const open: { close(): void }[] = [];
  const close = (): void => {
    for (const listener of open) listener.close();
  };
  try {
    if (metrics.at !== undefined) {
      const { HttpListener } = await import('../web/http-listener.ts');
      const { MetricsExporter } = await import('../web/metrics/exporter.ts');
      const exporter = new MetricsExporter(await metrics.families());
      const listener = await HttpListener.open(metrics.at, exporter.routes);
      open.push(listener);
      setUp.push(`metrics at ${listener.url}/metrics`);
    }
    return { setUp, close };
  } catch (error) {
    close();
    stop();
    throw error;
  }
}
