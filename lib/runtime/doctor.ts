/**
 * What this machine has and lacks, and the command that brings what is lacking. Looks only; the one thing it tries is
 * to make a network namespace, which it removes at once.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, closeSync, constants, openSync } from 'node:fs';
import { release } from 'node:os';
import { createNamespace, deleteNamespace } from '../netns/index.ts';
import { CAP_NET_ADMIN, isCapable } from '../sys/capabilities.ts';
import type { DoctorCheck } from './doctor-check.ts';
import { bad, good } from './doctor-check.ts';
import { examineEbpf } from './doctor-ebpf.ts';
import { examineService } from './doctor-service.ts';

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
    examineEbpf(),
    checkNamespaces(),
    checkTool('iperf3', ['--version'], 'lab', 'iperf3'),
    checkTool('ss', ['-V'], 'lab', 'iproute2'),
    checkTool('tcpdump', ['--version'], 'optional', 'tcpdump'),
    checkTool('nats-server', ['--version'], 'optional', 'nats-server'),
    checkTool('bird', ['--version'], 'optional', 'bird2'),
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
  return ok ? good(name, 'required', found) : bad(name, 'required', found, remedy);
}

function checkCapability(): DoctorCheck {
  const name = 'CAP_NET_ADMIN';
  if (isCapable(CAP_NET_ADMIN)) return good(name, 'required', 'yes');
  const remedy = 'Run it as root: sudo preflex ...; in a container: docker run --cap-add NET_ADMIN';
  return bad(name, 'required', `no (user id ${process.geteuid?.() ?? '?'})`, remedy);
}

function checkTun(): DoctorCheck {
  const path = '/dev/net/tun';
  try {
    accessSync(path, constants.F_OK);
  } catch {
    return bad(path, 'required', 'missing', `modprobe tun; in a container: docker run --device ${path}`);
  }
  try {
    closeSync(openSync(path, 'r+'));
    return good(path, 'required', 'can be opened');
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code ?? 'error';
    // ENODEV: the node is there, the driver is not.
    const remedy = errno === 'ENODEV' ? 'modprobe tun' : 'Run it as root: sudo preflex ...';
    return bad(path, 'required', `cannot be opened (${errno})`, remedy);
  }
}

function checkTool(
  tool: string,
  args: readonly string[],
  needed: DoctorCheck['needed'],
  debianPackage: string,
): DoctorCheck {
  const result = spawnSync(tool, args, { encoding: 'utf8', timeout: 5000 });
  if (result.error !== undefined) return bad(tool, needed, 'missing', `apt-get install ${debianPackage}`);
  return good(tool, needed, (`${result.stdout}${result.stderr}`.split('\n')[0] ?? '').trim());
}

function checkNamespaces(): DoctorCheck {
  const name = 'network namespaces';
  try {
    deleteNamespace(createNamespace('doctor'));
    return good(name, 'lab', 'can be made');
  } catch (error) {
    const [found = ''] = (error as Error).message.split('\n');
    const remedy = 'Run it as root: sudo preflex ...; in a container: docker run --privileged';
    return bad(name, 'lab', found, remedy);
  }
}
