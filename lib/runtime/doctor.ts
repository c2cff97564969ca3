/**
 * What this machine has and lacks, and the command that brings what is lacking. Looks only; the one thing it tries is
 * to make a network namespace, which it removes at once.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, closeSync, constants, openSync } from 'node:fs';
import { release } from 'node:os';
import { createNamespace, deleteNamespace } from '../netns/index.ts';
import { CAP_NET_ADMIN, isCapable } from '../sys/capabilities.ts';
import { examineService } from './doctor-service.ts';

/** The result of one check. */
export interface DoctorCheck {
  readonly name: string;
  readonly ok: boolean;
  /** `required`: nothing runs without it; `lab`: tests and laboratory; `optional`: nice to have. */
  readonly needed: 'required' | 'lab' | 'optional';
  /** What is there, in words. */
  readonly found: string;
  /** What to do; empty when all is well. */
  readonly remedy: string;
}

/** Oldest Node version, as in package.json. */
const MIN_NODE = [20, 19] as const;
/** Oldest kernel: the first with rules by transport protocol. @see ip-rule(8), ipproto */
const MIN_KERNEL = [4, 17] as const;

/** Runs all checks; takes some tens of milliseconds. */
export function examineMachine(): DoctorCheck[] {
  return [
    checkVersion(
      'Node.js',
      process.versions.node,
      MIN_NODE,
      'Install Node.js 20.19 or later: https://nodejs.org',
    ),
    checkVersion(
      'Linux kernel',
      release(),
      MIN_KERNEL,
      'Boot a kernel of version 4.17 or later: apt-get install linux-image-amd64',
    ),
    checkCapability(),
    checkTun(),
    checkTool('ip', ['-V'], 'required', 'iproute2'),
    ...examineService(),
    checkNamespaces(),
    checkTool('iperf3', ['--version'], 'lab', 'iperf3'),
    checkTool('ss', ['-V'], 'lab', 'iproute2'),
    checkTool('tcpdump', ['--version'], 'optional', 'tcpdump'),
    checkTool('nats-server', ['--version'], 'optional', 'nats-server'),
  ];
}

/** Whether nothing that is required is missing. */
export function isFit(checks: readonly DoctorCheck[], level: 'required' | 'lab' = 'required'): boolean {
  return checks.every((check) => check.ok || (check.needed !== 'required' && check.needed !== level));
}

/** Compares the first two numbers of a version with the oldest one allowed. Pure. */
export function checkVersion(
  name: string,
  found: string,
  min: readonly [number, number],
  remedy: string,
): DoctorCheck {
  const [major = 0, minor = 0] = found.split(/[.-]/).map(Number);
  const ok = major > min[0] || (major === min[0] && minor >= min[1]);
  return { name, ok, needed: 'required', found, remedy: ok ? '' : remedy };
}

function checkCapability(): DoctorCheck {
  const ok = isCapable(CAP_NET_ADMIN);
  return {
    name: 'CAP_NET_ADMIN',
    ok,
    needed: 'required',
    found: ok ? 'yes' : `no (user id ${process.geteuid?.() ?? '?'})`,
    remedy: ok ? '' : 'Run it as root: sudo preflex ...; in a container: docker run --cap-add NET_ADMIN',
  };
}

function checkTun(): DoctorCheck {
  const path = '/dev/net/tun';
  const result = { name: path, needed: 'required' as const };
  try {
    accessSync(path, constants.F_OK);
  } catch {
    const remedy = `modprobe tun; in a container: docker run --device ${path}`;
    return { ...result, ok: false, found: 'missing', remedy };
  }
  try {
    closeSync(openSync(path, 'r+'));
    return { ...result, ok: true, found: 'can be opened', remedy: '' };
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code ?? 'error';
    // ENODEV: the node is there, the driver is not.
    const remedy = errno === 'ENODEV' ? 'modprobe tun' : 'Run it as root: sudo preflex ...';
    return { ...result, ok: false, found: `cannot be opened (${errno})`, remedy };
  }
}

function checkTool(
  tool: string,
  args: readonly string[],
  needed: DoctorCheck['needed'],
  debianPackage: string,
): DoctorCheck {
  const result = spawnSync(tool, args, { encoding: 'utf8', timeout: 5000 });
  const ok = result.error === undefined;
  const found = ok ? (`${result.stdout}${result.stderr}`.split('\n')[0] ?? '').trim() : 'missing';
  return { name: tool, ok, needed, found, remedy: ok ? '' : `apt-get install ${debianPackage}` };
}

function checkNamespaces(): DoctorCheck {
  const result = { name: 'network namespaces', needed: 'lab' as const };
  try {
    deleteNamespace(createNamespace('doctor'));
    return { ...result, ok: true, found: 'can be made', remedy: '' };
  } catch (error) {
    const [found = ''] = (error as Error).message.split('\n');
    const remedy = 'Run it as root: sudo preflex ...; in a container: docker run --privileged';
    return { ...result, ok: false, found, remedy };
  }
}
