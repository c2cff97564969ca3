/** `preflex top`: a live view of a running daemon. What is drawn is in top-view.ts, the terminal in terminal.ts. */
import type { Command } from 'commander';
import { constants } from 'node:os';
import { PreflexError } from '../errors.ts';
import type { FlowSort } from '../lex/flow-listing.ts';
import { FLOW_SORTS } from '../lex/flow-listing.ts';
import type { FoundDaemon } from '../runtime/control/client.ts';
import type { EventsAnswer } from '../runtime/control/events-operation.ts';
import type { GatewayStatusAnswer } from '../runtime/control/gateway-operations.ts';
import type { HostFlowsAnswer, HostStatusAnswer } from '../runtime/control/host-operations.ts';
import { nowNs } from '../sys/clock.ts';
import type { CommonFlags } from './control-flags.ts';
import { ask, chosenDaemons, withCommonFlags } from './control-flags.ts';
import { parseCount, parseSeconds } from './number-flags.ts';
import { printJson, runCommand } from './output.ts';
import { Terminal } from './terminal.ts';
import type { TopSample } from './top-view.ts';
import { renderTop } from './top-view.ts';

interface TopFlags extends CommonFlags {
  interval: number;
  count?: number;
}

/** Destinations, flows and events that are asked for. */
const DESTINATIONS = 100;
const FLOWS = 100;
const EVENTS = 50;

/** Adds the command. */
export function addTopCommand(program: Command): void {
  withCommonFlags(
    program.command('top').description('a live view of a running daemon; with --json an object a sample'),
  )
    .option('--interval <seconds>', 'time between two samples', parseSeconds, 2)
    .option('--count <samples>', 'end after so many samples', parseCount)
    .action((flags: TopFlags) => runCommand(() => (flags.json ? printSamples(flags) : runTop(flags))));
}

/** Asks a daemon for all that is shown of it. */
async function takeSample(daemon: FoundDaemon, sort: FlowSort): Promise<TopSample> {
  const [status, flows, { next }] = await Promise.all([
    ask<GatewayStatusAnswer | HostStatusAnswer>(
      daemon,
      'status',
      daemon.role === 'gateway' ? { limit: DESTINATIONS } : {},
    ),
    daemon.role === 'host' ? ask<HostFlowsAnswer>(daemon, 'flows', { limit: FLOWS, sort }) : undefined,
    ask<EventsAnswer>(daemon, 'events', { since: Number.MAX_SAFE_INTEGER }),
  ]);
  const { events } = await ask<EventsAnswer>(daemon, 'events', { since: Math.max(0, next - EVENTS) });
  return {
    daemon,
    atSeconds: nowNs() / 1e9,
    gateway: daemon.role === 'gateway' ? (status as GatewayStatusAnswer) : undefined,
    host: flows === undefined ? undefined : { status: status as HostStatusAnswer, flows },
    events,
  };
}

/** One object a sample, for programs. */
async function printSamples(flags: TopFlags): Promise<void> {
  for (let sample = 0; sample < (flags.count ?? Infinity); sample++) {
    if (sample > 0) await new Promise((resolve) => setTimeout(resolve, flags.interval * 1000));
    const daemons = await chosenDaemons(flags);
    printJson({
      time: new Date().toISOString(),
      daemons: await Promise.all(daemons.map((daemon) => takeSample(daemon, 'bytes'))),
    });
  }
}

async function runTop(flags: TopFlags): Promise<void> {
  const { stdin, stdout } = process;
  if (!stdin.isTTY || !stdout.isTTY)
    throw new PreflexError(
      'ERR_MISSING_REQUIREMENT',
      'preflex top needs a terminal; for programs there is --json.',
    );
  const first = await chosenDaemons(flags);
  const view = new LiveView(flags, first);
  let end: (signal?: NodeJS.Signals) => void = () => undefined;
  const ended = new Promise<NodeJS.Signals | undefined>((resolve) => (end = resolve));
  const terminal = new Terminal(stdin, stdout, {
    onKey: (name) => {
      if (name === 'q') end();
      else if (view.press(name)) void refresh().catch(fail);
    },
    onResize: () => {
      redraw();
    },
    onEnd: end,
  });
  const redraw = (): void => {
    terminal.draw(view.lines(stdout.columns, stdout.rows));
  };
  const refresh = async (): Promise<void> => {
    redraw();
    await view.update();
    redraw();
  };
  let fail: (error: unknown) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => (fail = reject));
  let timer: NodeJS.Timeout | undefined;
  let samples = 0;
  const tick = async (): Promise<void> => {
    await refresh();
    if (++samples === flags.count) end();
    timer = setTimeout(() => void tick().catch(fail), flags.interval * 1000);
  };
  try {
    void tick().catch(fail);
    const signal = await Promise.race([ended, failed]);
    if (signal !== undefined && signal !== 'SIGINT') process.exitCode = 128 + constants.signals[signal];
  } finally {
    clearTimeout(timer);
    terminal.close();
  }
}

/** Which daemon is looked at, and what it said last. */
class LiveView {
  readonly #flags: TopFlags;
  #daemons: readonly FoundDaemon[];
  #name: string;
  #sample: TopSample | undefined;
  #before: TopSample | undefined;
  #goneSince: number | undefined;
  #destination = 0;
  #sort: FlowSort = 'bytes';
  #isBusiestFirst = false;
  #turn: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(flags: TopFlags, daemons: readonly FoundDaemon[]) {
    this.#flags = flags;
    this.#daemons = daemons;
    this.#name = daemons[0].name;
  }

  /** Asks the daemon, after the question that is on its way; keys pressed meanwhile wait for one answer together. */
  update(): Promise<void> {
    this.#next ??= this.#turn.then(() => {
      this.#next = undefined;
      return this.#ask();
    });
    this.#turn = this.#next;
    return this.#next;
  }

  /** When the daemon does not answer, what it said last stays. */
  async #ask(): Promise<void> {
    const name = this.#name;
    try {
      this.#daemons = await chosenDaemons(this.#flags);
      const daemon = this.#daemons.find((candidate) => candidate.name === name);
      if (daemon === undefined) throw new PreflexError('ERR_SYSTEM', `${name} is gone`);
      const sample = await takeSample(daemon, this.#sort);
      if (name !== this.#name) return;
      // Counters of another process begin at 0.
      this.#before = this.#sample?.daemon.pid === daemon.pid ? this.#sample : undefined;
      this.#sample = sample;
      this.#goneSince = undefined;
    } catch (error) {
      if (!(error instanceof PreflexError)) throw error;
      this.#goneSince ??= nowNs();
    }
  }

  /** Takes a key. Returns whether there is something to ask and to draw. */
  press(key: string): boolean {
    switch (key) {
      case 'tab':
      case 'right':
        return this.#go(1);
      case 'left':
        return this.#go(-1);
      case 'down':
        this.#destination++;
        return true;
      case 'up':
        this.#destination = Math.max(0, this.#destination - 1);
        return true;
      case 's':
        this.#sort = FLOW_SORTS[(FLOW_SORTS.indexOf(this.#sort) + 1) % FLOW_SORTS.length];
        this.#isBusiestFirst = !this.#isBusiestFirst;
        return true;
      default:
        return false;
    }
  }

  lines(columns: number, rows: number): ReturnType<typeof renderTop> {
    const sample = this.#sample;
    if (sample === undefined) return [{ text: `asking ${this.#name} ...`, style: 'plain' }];
    return renderTop({
      columns,
      rows,
      position: this.#daemons.findIndex(({ name }) => name === this.#name) + 1,
      count: this.#daemons.length,
      sample,
      before: this.#before,
      destination: this.#destination,
      sort: this.#sort,
      isBusiestFirst: this.#isBusiestFirst,
      goneSeconds: this.#goneSince === undefined ? undefined : (nowNs() - this.#goneSince) / 1e9,
    });
  }

  #go(by: number): boolean {
    const { length } = this.#daemons;
    const at = this.#daemons.findIndex(({ name }) => name === this.#name);
    if (length === 0 || (at === 0 && length === 1)) return false;
    this.#name = this.#daemons[(Math.max(at, 0) + by + length) % length].name;
    this.#sample = undefined;
    this.#before = undefined;
    this.#goneSince = undefined;
    this.#destination = 0;
    return true;
  }
}
