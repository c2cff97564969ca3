/**
 * The doctor's look at what the daemons need as services: kernel settings and features, clock, the folder of control
 * sockets, systemd units, and the service manager that started this process.
 */
import { accessSync, constants, existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { NotifySocket } from '../sys/notify-socket.ts';
import type { DoctorCheck } from './doctor-check.ts';
import { bad, good } from './doctor-check.ts';
import { DEFAULT_STATE_DIRECTORY } from './state-directory.ts';
import { unitProblems, unitUser } from './unit-file.ts';

/** Clock sources that are read by slow input and output: a microsecond or more, where the packet loop expects 50 ns. */
const SLOW_CLOCKS = ['acpi_pm', 'hpet', 'pit', 'jiffies', 'refined-jiffies'];
const CLOCK_SOURCE = '/sys/devices/system/clocksource/clocksource0/current_clocksource';
/** Settings that every daemon writes. */
const SETTINGS = ['ipv4/ip_early_demux', 'ipv4/conf/all/forwarding', 'ipv4/conf/default/rp_filter'];
/** Where units are, the first before the others. @see systemd.unit(5) */
const UNIT_FOLDERS = [
  '/etc/systemd/system',
  '/run/systemd/system',
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
];
const UNITS = ['preflex-gateway@.service', 'preflex-host@.service'];

/** Runs the checks. */
export function examineService(): DoctorCheck[] {
  return [
    checkPolicyRouting(),
    checkSettings(),
    checkIpv6(),
    checkStateDirectory(DEFAULT_STATE_DIRECTORY),
    checkClock(),
    checkUnits(UNIT_FOLDERS),
    checkNotifySocket(process.env['NOTIFY_SOCKET']),
  ];
}

function checkPolicyRouting(): DoctorCheck {
  const result = spawnSync('ip', ['-4', 'rule', 'show'], { encoding: 'utf8', timeout: 5000 });
  return result.status === 0
    ? good('policy routing', 'required', 'yes')
    : bad(
        'policy routing',
        'required',
        (result.error?.message ?? result.stderr.trim()) || 'no',
        'Boot a kernel with CONFIG_IP_MULTIPLE_TABLES and CONFIG_IPV6_MULTIPLE_TABLES.',
      );
}

function checkSettings(): DoctorCheck {
  const name = '/proc/sys/net';
  for (const setting of SETTINGS) {
    try {
      accessSync(join(name, setting), constants.R_OK | constants.W_OK);
    } catch (error) {
      const errno = (error as NodeJS.ErrnoException).code ?? 'error';
      const remedy =
        errno === 'EROFS'
          ? 'Mount it writable: in a container --privileged, in a unit no ProtectKernelTunables.'
          : errno === 'ENOENT'
            ? 'This kernel lacks the setting.'
            : 'Run it as root, or with CAP_NET_ADMIN.';
      return bad(name, 'required', `${setting} cannot be written (${errno})`, remedy);
    }
  }
  return good(name, 'required', 'can be written');
}

function checkIpv6(): DoctorCheck {
  const isOn = existsSync('/proc/net/if_inet6');
  return isOn
    ? good('IPv6', 'optional', 'yes')
    : bad('IPv6', 'optional', 'off', 'Only needed to serve IPv6: boot without ipv6.disable=1.');
}

/** Whether daemons of this user can keep sockets and journals there. */
export function checkStateDirectory(path: string): DoctorCheck {
  const self = process.geteuid?.() ?? 0;
  if (!existsSync(path)) {
    try {
      accessSync(dirname(path), constants.W_OK);
      return good(path, 'required', 'will be made');
    } catch {
      return bad(
        path,
        'required',
        'missing',
        `Run it as root, or make it: install -d -m 0700 -o USER ${path}`,
      );
    }
  }
  const { uid, mode } = statSync(path);
  if ((mode & 0o022) !== 0) return bad(path, 'required', 'others can write to it', `chmod 0700 ${path}`);
  const isUsable = uid === self || (self === 0 && readdirSync(path).length === 0);
  return isUsable
    ? good(path, 'required', `of user id ${uid}`)
    : bad(
        path,
        'required',
        `of user id ${uid}`,
        'Run preflex as that user, or remove the folder when no daemon runs.',
      );
}

function checkClock(): DoctorCheck {
  const name = 'clock source';
  const source = existsSync(CLOCK_SOURCE) ? readFileSync(CLOCK_SOURCE, 'utf8').trim() : 'unknown';
  return SLOW_CLOCKS.includes(source)
    ? bad(
        name,
        'optional',
        source,
        'Each look at it takes microseconds: choose tsc or the clock of your hypervisor.',
      )
    : good(name, 'optional', source);
}

/** Whether installed units would start. @param folders - where to look, the first before the others */
export function checkUnits(folders: readonly string[]): DoctorCheck {
  const name = 'systemd units';
  const paths = UNITS.flatMap((unit) => {
    const folder = folders.find((candidate) => existsSync(join(candidate, unit)));
    return folder === undefined ? [] : [join(folder, unit)];
  });
  if (paths.length === 0) return good(name, 'optional', 'none installed');
  const problems = paths.flatMap((path) => {
    const text = [path, ...dropIns(path, folders)].map((file) => readFileSync(file, 'utf8')).join('\n');
    const user = unitUser(text);
    const isUser = user === undefined || spawnSync('id', ['-u', '--', user]).status === 0;
    const verified = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8', timeout: 10_000 });
    return [
      ...unitProblems(text),
      ...(isUser ? [] : [`there is no user ${user}: systemd-sysusers`]),
      // Without systemd-analyze there is no output either.
      ...(verified.status === 0 || verified.error !== undefined ? [] : [firstLine(verified.stderr)]),
    ].map((problem) => `${path}: ${problem}`);
  });
  const found = paths.map((path) => path.split('/').at(-1)).join(', ');
  return problems.length === 0
    ? good(name, 'optional', found)
    : bad(name, 'optional', found, `${problems.join('; ')}. See docs/operating.md, "As a service".`);
}

function dropIns(path: string, folders: readonly string[]): string[] {
  const name = path.split('/').at(-1)!;
  return folders.flatMap((folder) => {
    const files = existsSync(join(folder, `${name}.d`)) ? readdirSync(join(folder, `${name}.d`)) : [];
    return files.filter((file) => file.endsWith('.conf')).map((file) => join(folder, `${name}.d`, file));
  });
}

/** Whether the service manager that an environment names can be spoken to. */
export function checkNotifySocket(address: string | undefined): DoctorCheck {
  const name = 'NOTIFY_SOCKET';
  if (address === undefined) return good(name, 'optional', 'no service manager');
  try {
    const socket = NotifySocket.open(address);
    // A message without meaning to the manager.
    const isHeard = socket.send('X_PREFLEX_DOCTOR=1', false);
    socket.close();
    return isHeard
      ? good(name, 'optional', address)
      : bad(name, 'optional', address, 'Nobody listens there: start the daemon from its unit, not by hand.');
  } catch (error) {
    return bad(name, 'optional', address, firstLine((error as Error).message));
  }
}

function firstLine(text: string): string {
  return text.split('\n')[0]!.trim();
}
