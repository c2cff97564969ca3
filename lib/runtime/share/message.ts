/**
 * The messages that gateways of a domain exchange: their subjects, how an interval is written, and how bytes from the
 * network are read. Pure; reading never throws, whatever the bytes.
 *
 *     preflex.v1.DOMAIN.figures.NAME    an interval, in parts         preflex.v1.DOMAIN.hello.NAME    connected
 *                                                                     preflex.v1.DOMAIN.bye.NAME      ends
 *
 * @see docs/several-gateways.md
 */

/** Version of the format; another one is refused. */
export const SHARE_VERSION = 1;
/** Largest message that is read. */
export const MAX_MESSAGE_BYTES = 65_536;
/** Messages that an interval takes at most. */
export const MAX_PARTS = 128;
/** Destinations that an interval tells of at most. */
export const MAX_DESTINATIONS = 8192;
/** Figures a route: T_i, L_i, bytes of repeated FNE packets. */
export const FIGURES_A_ROUTE = 3;

/** What messages are about. */
export type MessageKind = 'figures' | 'hello' | 'bye';
/** State of a route in the gateway that tells of it. */
export type RouteState = 'up' | 'down' | 'drained';

/** A route as others are told of it. */
export interface SharedRoute {
  readonly name: string;
  /** In the gateway that tells. */
  readonly pathId: number;
  readonly state: RouteState;
}

/** A destination as others are told of it. */
export interface SharedDestination {
  /** @see destination-keys.ts */
  readonly key: string;
  /** Places in the list of routes that can be used toward it. */
  readonly usable: readonly number[];
  /** {@link FIGURES_A_ROUTE} numbers for each route. */
  readonly figures: readonly number[];
}

/** Who tells. */
export interface Sender {
  readonly gateway: string;
  /** 16 hexadecimal digits, drawn when it started. */
  readonly incarnation: string;
}

/** An interval, or a part of one. */
export interface IntervalMessage extends Sender {
  /** From 1, one more with each publication. */
  readonly sequence: number;
  readonly part: number;
  readonly parts: number;
  readonly intervalSeconds: number;
  readonly routes: readonly SharedRoute[];
  readonly destinations: readonly SharedDestination[];
}

/** A message as it goes out. */
export interface OutMessage {
  readonly subject: string;
  readonly data: Uint8Array;
}

/** Why a message is refused as it stands. */
export type Refusal = 'oversized' | 'notJson' | 'version' | 'fields' | 'sender';

/** What was read. */
export type ReadMessage =
  | { readonly kind: 'figures'; readonly message: IntervalMessage }
  | { readonly kind: 'hello' | 'bye'; readonly message: Sender }
  | { readonly kind: 'refused'; readonly reason: Refusal };

const KINDS: readonly MessageKind[] = ['figures', 'hello', 'bye'];
const STATES: readonly RouteState[] = ['up', 'down', 'drained'];
const NAME = /^[A-Za-z0-9_-]{1,32}$/;
const ROUTE_NAME = /^[a-z0-9-]{1,32}$/;
const INCARNATION = /^[0-9a-f]{16}$/;
const KEY = /^[0-9a-f.:]{2,45}\/\d{1,3}(\+\d{1,7}#[0-9a-f]{16})?$/;
const MAX_ROUTES = 15;
const MAX_PATH_ID = 15;
const MAX_INTERVAL_SECONDS = 86_400;
const MIN_INTERVAL_SECONDS = 0.001;
/** What a part is filled to; the head and one destination fit into the rest of {@link MAX_MESSAGE_BYTES}. */
const PART_BYTES = 48 * 1024;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** Whether text can name a domain or a gateway: one token of a subject. */
export function isShareName(text: string): boolean {
  return NAME.test(text);
}

/** What such a name may be, in words. */
export const SHARE_NAME_RULE = 'a name of 1 to 32 letters, digits, _ and -';

/** The subject of one gateway's messages. */
export function subjectOf(domain: string, kind: MessageKind, gateway: string): string {
  return `preflex.v${SHARE_VERSION}.${domain}.${kind}.${gateway}`;
}

/** The subjects of all messages of a domain. */
export function subjectsOf(domain: string): string {
  return `preflex.v${SHARE_VERSION}.${domain}.*.*`;
}

/** A message without more than who sends it. */
export function signal(domain: string, kind: 'hello' | 'bye', sender: Sender): OutMessage {
  const { gateway, incarnation } = sender;
  const text = JSON.stringify({ version: SHARE_VERSION, gateway, incarnation });
  return { subject: subjectOf(domain, kind, gateway), data: encoder.encode(text) };
}

/**
 * Writes an interval, as many messages as it takes.
 *
 * @returns the messages, and how many destinations were left out because {@link MAX_PARTS} messages are full
 */
export function writeInterval(
  domain: string,
  interval: Omit<IntervalMessage, 'part' | 'parts'>,
): { readonly messages: OutMessage[]; readonly leftOut: number } {
  const { gateway, incarnation, sequence, intervalSeconds, routes, destinations } = interval;
  const parts: string[][] = [[]];
  let bytes = 0;
  let written = 0;
  for (const { key, usable, figures } of destinations) {
    const text = JSON.stringify({ key, usable, figures });
    if (bytes + text.length > PART_BYTES && bytes > 0) {
      if (parts.length === MAX_PARTS) break;
      parts.push([]);
      bytes = 0;
    }
    parts[parts.length - 1].push(text);
    bytes += text.length + 1;
    written++;
  }
  const subject = subjectOf(domain, 'figures', gateway);
  const messages = parts.map((texts, part) => {
    const head = { version: SHARE_VERSION, gateway, incarnation, sequence, part, parts: parts.length };
    const text = JSON.stringify({ ...head, intervalSeconds, routes });
    return {
      subject,
      data: encoder.encode(`${text.slice(0, -1)},"destinations":[${texts.join(',')}]}`),
    };
  });
  return { messages, leftOut: destinations.length - written };
}

/**
 * Reads a message.
 *
 * @param subject - that it came by; the name in it must be the sender's
 */
export function readMessage(subject: string, data: Uint8Array): ReadMessage {
  const tokens = subject.split('.');
  const kind = KINDS.find((candidate) => candidate === tokens[3]);
  if (kind === undefined || tokens.length !== 5) return refused('sender');
  if (data.length > MAX_MESSAGE_BYTES) return refused('oversized');
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(data));
  } catch {
    return refused('notJson');
  }
  if (!isRecord(value)) return refused('fields');
  if (value['version'] !== SHARE_VERSION) return refused('version');
  const { gateway, incarnation } = value;
  if (!isText(gateway, NAME) || !isText(incarnation, INCARNATION)) return refused('fields');
  if (gateway !== tokens[4]) return refused('sender');
  if (kind !== 'figures') {
    return hasOnly(value, ['version', 'gateway', 'incarnation'])
      ? { kind, message: { gateway, incarnation } }
      : refused('fields');
  }
  const message = readInterval(value, { gateway, incarnation });
  return message === undefined ? refused('fields') : { kind, message };
}

const INTERVAL_KEYS = [
  'version',
  'gateway',
  'incarnation',
  'sequence',
  'part',
  'parts',
  'intervalSeconds',
  'routes',
  'destinations',
];

function readInterval(value: Readonly<Record<string, unknown>>, sender: Sender): IntervalMessage | undefined {
  const { sequence, part, parts, intervalSeconds, routes, destinations } = value;
  if (!hasOnly(value, INTERVAL_KEYS)) return undefined;
  if (!isWhole(sequence, 1, Number.MAX_SAFE_INTEGER) || !isWhole(parts, 1, MAX_PARTS)) return undefined;
  if (!isWhole(part, 0, parts - 1)) return undefined;
  if (typeof intervalSeconds !== 'number') return undefined;
  if (!(intervalSeconds >= MIN_INTERVAL_SECONDS && intervalSeconds <= MAX_INTERVAL_SECONDS)) return undefined;
  if (!Array.isArray(routes) || routes.length < 1 || routes.length > MAX_ROUTES) return undefined;
  if (!routes.every(isRoute) || !areDifferent(routes.map(({ name }) => name))) return undefined;
  if (!Array.isArray(destinations) || destinations.length > MAX_DESTINATIONS) return undefined;
  const isDestination = (item: unknown): item is SharedDestination => isDestinationOf(item, routes.length);
  if (!destinations.every(isDestination) || !areDifferent(destinations.map(({ key }) => key)))
    return undefined;
  return { ...sender, sequence, part, parts, intervalSeconds, routes, destinations };
}

function isRoute(value: unknown): value is SharedRoute {
  if (!isRecord(value) || !hasOnly(value, ['name', 'pathId', 'state'])) return false;
  const { name, pathId, state } = value;
  return (
    isText(name, ROUTE_NAME) && isWhole(pathId, 1, MAX_PATH_ID) && STATES.some((known) => known === state)
  );
}

function isDestinationOf(value: unknown, routeCount: number): value is SharedDestination {
  if (!isRecord(value) || !hasOnly(value, ['key', 'usable', 'figures'])) return false;
  const { key, usable, figures } = value;
  if (!isText(key, KEY)) return false;
  if (!Array.isArray(usable) || !usable.every((place) => isWhole(place, 0, routeCount - 1))) return false;
  if (!areDifferent(usable)) return false;
  // Whole bytes that can be added up without rounding.
  const isFigure = (figure: unknown): boolean => isWhole(figure, 0, 2 ** 48);
  return Array.isArray(figures) && figures.length === routeCount * FIGURES_A_ROUTE && figures.every(isFigure);
}

function refused(reason: Refusal): ReadMessage {
  return { kind: 'refused', reason };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hasOnly(value: object, keys: readonly string[]): boolean {
  return Object.keys(value).every((key) => keys.includes(key));
}

function isText(value: unknown, form: RegExp): value is string {
  return typeof value === 'string' && form.test(value);
}

function isWhole(value: unknown, min: number, max: number): value is number {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

function areDifferent(values: readonly unknown[]): boolean {
  return new Set(values).size === values.length;
}
