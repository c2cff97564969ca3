/**
 * What in a systemd unit would keep a daemon from working: settings that harden other services and break this one, and
 * such that it needs. Pure.
 *
 * @see systemd.exec(5), systemd.resource-control(5)
 */

/** Settings that must not be on, and why. */
const HARMFUL: Readonly<Record<string, string>> = {
  ProtectKernelTunables: 'the daemons write /proc/sys/net',
  PrivateDevices: 'it hides /dev/net/tun',
  PrivateUsers: 'the capability would not count for the network of the machine',
  PrivateNetwork: 'the devices are those of the machine',
  MemoryDenyWriteExecute: 'Node.js compiles code at run time',
};
const CAPABILITY = 'CAP_NET_ADMIN';

/**
 * Everything wrong with a unit, a sentence each.
 *
 * @param text - of the unit file, followed by those of its drop-ins
 */
export function unitProblems(text: string): string[] {
  const settings = parseUnit(text);
  const last = (name: string): string | undefined => settings.get(name)?.at(-1);
  const words = (name: string): string[] | undefined =>
    settings.get(name)?.flatMap((value) => value.split(/\s+/));
  const problems: string[] = [];
  for (const [name, why] of Object.entries(HARMFUL)) {
    if (isYes(last(name))) problems.push(`${name}= must not be on: ${why}`);
  }
  if (words('CapabilityBoundingSet')?.includes(CAPABILITY) === false)
    problems.push(`CapabilityBoundingSet= lacks ${CAPABILITY}`);
  const user = last('User') ?? 'root';
  if (user !== 'root' && words('AmbientCapabilities')?.includes(CAPABILITY) !== true)
    problems.push(`User=${user} needs AmbientCapabilities=${CAPABILITY}`);
  const isClosed = ['closed', 'strict'].includes(last('DevicePolicy') ?? '') || settings.has('DeviceAllow');
  if (isClosed && settings.get('DeviceAllow')?.some((value) => value.startsWith('/dev/net/tun')) !== true)
    problems.push('DeviceAllow=/dev/net/tun rw is missing');
  if (last('ProtectSystem') === 'strict' && words('RuntimeDirectory')?.includes('preflex') !== true)
    problems.push('RuntimeDirectory=preflex is missing, and ProtectSystem=strict makes /run read-only');
  if (settings.has('RuntimeDirectory') && last('RuntimeDirectoryPreserve') === undefined)
    problems.push(
      'RuntimeDirectoryPreserve=yes is missing: undo journals must outlive a daemon that was killed',
    );
  const families = words('RestrictAddressFamilies');
  for (const family of ['AF_UNIX', 'AF_NETLINK']) {
    if (families !== undefined && !families[0]!.startsWith('~') && !families.includes(family))
      problems.push(`RestrictAddressFamilies= lacks ${family}`);
  }
  if (settings.has('WatchdogSec') && last('Type')?.startsWith('notify') !== true)
    problems.push('WatchdogSec= needs Type=notify');
  return problems;
}

/** The user that a unit runs as; undefined for root. */
export function unitUser(text: string): string | undefined {
  return parseUnit(text).get('User')?.at(-1);
}

/** Values by name, in order; an empty value takes back those before it. */
function parseUnit(text: string): Map<string, string[]> {
  const settings = new Map<string, string[]>();
  for (const line of text.replaceAll(/\\\n/g, ' ').split('\n')) {
    const [, name, value = ''] = /^([A-Za-z]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (name === undefined) continue;
    if (value === '') settings.delete(name);
    else settings.set(name, [...(settings.get(name) ?? []), value]);
  }
  return settings;
}

function isYes(value: string | undefined): boolean {
  return value !== undefined && !['no', 'false', '0', 'off'].includes(value.toLowerCase());
}
