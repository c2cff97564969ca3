/** The page of a host agent: loss that it exposes, what it sends by codepoint, its paths, and its flows. */
import type { EventLog } from '../../runtime/events.ts';
import { describeEvent, eventLevel } from '../../runtime/events.ts';
import type { HostAgent } from '../../runtime/host-agent.ts';
import { UiFeed } from './feed.ts';
import type { UiEvent, UiFlow, UiLayout, UiNow, UiRow } from './model.ts';

/** Path IDs that a host can carry. */
const PATH_IDS = 16;
const CODEPOINTS = ['Not-LECT', 'LECT', 'LEx', 'FNE'];
const LECT = 1;
const LEX = 2;
const FNE = 3;

/** What of the agent is needed here. */
export interface ShownHost {
  readonly lex: Pick<HostAgent['lex'], 'counters' | 'flows'>;
  readonly events: Pick<EventLog, 'since'>;
}

/** Counters at a moment. */
interface Counted {
  readonly atSeconds: number;
  readonly bytes: Float64Array;
  readonly packets: Float64Array;
  readonly paths: Float64Array;
  readonly assigned: number;
}

/** Feeds the page of a host agent. */
export class HostFeed {
  readonly feed: UiFeed;
  readonly #agent: ShownHost;
  readonly #name: string;
  readonly #listFlows: (() => Promise<readonly UiFlow[]>) | undefined;
  #flows: readonly UiFlow[] | null;
  #isListing = false;
  #counted: Counted;
  /** Path IDs that were ever carried; only these are drawn. */
  #used: readonly number[] = [];
  #nextEvent = 0;

  /**
   * @param listFlows - lists the flows with most bytes; asked only while somebody looks
   * @param nowSeconds - since 1970
   */
  constructor(
    agent: ShownHost,
    name: string,
    nowSeconds: number,
    listFlows?: () => Promise<readonly UiFlow[]>,
  ) {
    this.#agent = agent;
    this.#name = name;
    this.#listFlows = listFlows;
    this.#flows = listFlows === undefined ? null : [];
    this.#counted = this.#count(nowSeconds);
    this.feed = new UiFeed(this.#layout(), () => this.#now());
  }

  /** Adds a row and follows the event log; call it every few seconds. @param nowSeconds - since 1970 */
  tick(nowSeconds: number): void {
    const before = this.#counted;
    this.#counted = this.#count(nowSeconds);
    const used = [...this.#counted.paths.keys()].filter((path) => this.#counted.paths[path] > 0);
    if (used.length !== this.#used.length) {
      this.#used = used;
      this.feed.setLayout(this.#layout());
    }
    const seconds = nowSeconds - before.atSeconds;
    if (seconds > 0) this.feed.addRow(this.#row(before, seconds));
    const events = this.#agent.events.since(this.#nextEvent);
    this.#nextEvent = (events.at(-1)?.sequence ?? this.#nextEvent - 1) + 1;
    this.feed.addEvents(
      events.map((event): UiEvent => ({
        time: event.time,
        level: eventLevel(event),
        text: describeEvent(event),
      })),
    );
    if (this.#listFlows === undefined || this.#isListing || !this.feed.isWatched) this.feed.tellNow();
    else void this.#tellFlows(this.#listFlows);
  }

  async #tellFlows(list: () => Promise<readonly UiFlow[]>): Promise<void> {
    // A large table takes longer than a tick.
    this.#isListing = true;
    try {
      this.#flows = await list();
    } finally {
      this.#isListing = false;
    }
    this.feed.tellNow();
  }

  #count(atSeconds: number): Counted {
    const { counters } = this.#agent.lex;
    return {
      atSeconds,
      bytes: counters.codepointBytes.slice(),
      packets: counters.codepointPackets.slice(),
      paths: counters.pathPackets.slice(0, PATH_IDS),
      assigned: counters.assignments.reduce((sum, count) => sum + count, 0),
    };
  }

  #row(before: Counted, seconds: number): UiRow {
    const now = this.#counted;
    const sent = (codepoint: number): number => now.bytes[codepoint] - before.bytes[codepoint];
    const marked = sent(LECT) + sent(LEX) + sent(FNE);
    const values: Record<string, number | null> = {
      // Nothing sent says nothing about loss.
      loss: marked === 0 ? null : sent(LEX) / marked,
      fne: (now.packets[FNE] - before.packets[FNE]) / seconds,
      assigned: (now.assigned - before.assigned) / seconds,
    };
    for (const [codepoint, name] of CODEPOINTS.entries())
      values[`rate ${name}`] = (sent(codepoint) * 8) / seconds;
    for (const path of this.#used) values[`path ${path}`] = (now.paths[path] - before.paths[path]) / seconds;
    return { t: now.atSeconds, values };
  }

  #layout(): UiLayout {
    return {
      title: this.#name,
      subtitle: 'host agent (LEX)',
      state: 'live',
      clock: 'wall',
      views: [],
      viewsNote: '',
      charts: [
        {
          id: 'loss',
          title: 'Loss ratio',
          about: 'Bytes marked LEx of all marked bytes that this host sent.',
          unit: 'percent',
          isStep: false,
          series: [{ key: 'loss', label: 'LEx' }],
        },
        {
          id: 'rate',
          title: 'Rate',
          about: 'What this host sent, by codepoint, IP headers included.',
          unit: 'bitsPerSec',
          isStep: false,
          series: CODEPOINTS.map((name) => ({ key: `rate ${name}`, label: name })),
        },
        {
          id: 'paths',
          title: 'Packets by path',
          about: 'Marked packets a second by the path ID that they carry.',
          unit: 'perSec',
          isStep: false,
          series: this.#used.map((path) => ({
            key: `path ${path}`,
            label: path === 0 ? 'no path' : `path ${path}`,
          })),
        },
        {
          id: 'fne',
          title: 'FNE packets',
          about: 'FNE packets sent and assignments taken a second.',
          unit: 'perSec',
          isStep: false,
          series: [
            { key: 'fne', label: 'FNE sent' },
            { key: 'assigned', label: 'assigned' },
          ],
        },
      ],
    };
  }

  #now(): UiNow {
    const { counters, flows } = this.#agent.lex;
    return {
      summary: [
        ['flows', `${flows.size} of ${flows.capacity}`],
        ['retransmitted', `${counters.lexPayloadBytes} bytes`],
        ['paths given up', String(counters.unpinned)],
      ],
      routes: {},
      flows: this.#flows,
    };
  }
}
