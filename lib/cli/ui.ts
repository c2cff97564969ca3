/** `preflex ui`: the web page of a finished run. */
import { once } from 'node:events';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { ListenAddress } from '../runtime/listen-address.ts';
import { formatListenAddress } from '../runtime/listen-address.ts';
import { print, runCommand } from './output.ts';
import { openPage, parseListen } from './web.ts';

const DEFAULT_LISTEN: ListenAddress = { host: '127.0.0.1', port: 9465 };

/** Adds the command. It serves until SIGINT or SIGTERM. */
export function addUiCommand(program: Command): void {
  program
    .command('ui')
    .description(
      'show the web page of a result.json, of the laboratory or the simulator, until it is interrupted',
    )
    .argument('<result>', 'the file, or the folder that it is in')
    .addOption(
      new Option('--listen <address:port>', 'where the page is; loopback unless an address is given')
        .argParser(parseListen)
        .default(DEFAULT_LISTEN, formatListenAddress(DEFAULT_LISTEN)),
    )
    .action((result: string, flags: { listen: ListenAddress }) =>
      runCommand(async () => {
        const { readRunFeed } = await import('../web/ui/run-feed.ts');
        const listener = await openPage(readRunFeed(result).feed, flags.listen);
        print(`page at ${listener.url}/`);
        await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
        listener.close();
      }),
    );
}
