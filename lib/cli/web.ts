/** The HTTP listeners of the daemons, of a running laboratory and of `preflex ui`. */
import { InvalidArgumentError } from 'commander';
import type { ListenAddress } from '../runtime/listen-address.ts';
import { LISTEN_ADDRESS_RULE, parseListenAddress } from '../runtime/listen-address.ts';
import type { HttpListener } from '../web/http-listener.ts';
import type { MetricFamily } from '../web/metrics/family.ts';
import type { UiFeed } from '../web/ui/feed.ts';

/** The open listeners of a daemon. */
export interface WebListeners {
  /** What is where, a line each. */
  readonly setUp: readonly string[];
  close(): void;
}

/** What a daemon is to show, and where; what has no address is off. */
export interface WebOptions {
  readonly ui: { readonly at: ListenAddress | undefined; readonly feed: () => Promise<UiFeed> };
  readonly metrics: {
    readonly at: ListenAddress | undefined;
    readonly families: () => Promise<MetricFamily[]>;
  };
}

/** Help text of `--metrics`. */
export const METRICS_HELP =
  'show metrics for Prometheus at /metrics there; loopback unless an address is given';

/** Help text of `--ui`. */
export const UI_HELP = 'show a web page of what happens there; loopback unless an address is given';

/** Serves the page of a feed. @throws PreflexError ERR_SYSTEM when the address cannot be had */
export async function openPage(feed: UiFeed, at: ListenAddress): Promise<HttpListener> {
  const { HttpListener } = await import('../web/http-listener.ts');
  const { PageServer } = await import('../web/ui/page-server.ts');
  return HttpListener.open(at, new PageServer(feed).routes);
}

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
export async function openWeb({ metrics, ui }: WebOptions, stop: () => void): Promise<WebListeners> {
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
    if (ui.at !== undefined) {
      const listener = await openPage(await ui.feed(), ui.at);
      open.push(listener);
      setUp.push(`page at ${listener.url}/`);
    }
    return { setUp, close };
  } catch (error) {
    close();
    stop();
    throw error;
  }
}
