/**
 * Running a system tool: argv in, standard output out, one error class. Nothing here goes through a shell.
 *
 * Configuration commands are synchronous on purpose: each takes 2-5 ms, their order matters, and the same calls must
 * work inside `process.on('exit')` and signal handlers, where nothing can be awaited. Programs that run for longer
 * (traffic, daemons) are started by `processes.ts`, which does not block.
 */
import { spawnSync } from 'node:child_process';
import { PreflexError } from '../errors.ts';

/** Where a command takes effect. */
export interface Where {
  /** Name of a network namespace under /run/netns. Default: the namespace this process is in. */
  readonly netns?: string | undefined;
}

/** How to run a command. */
export interface RunOptions {
  /** Text given to the command's standard input. Default: none. */
  readonly input?: string | undefined;
  /** Exit codes that are not errors. Default: only 0. */
  readonly okCodes?: readonly number[] | undefined;
  /** Milliseconds after which the command is ended and an error thrown. Default 30000. */
  readonly timeoutMs?: number | undefined;
}

/** Debian packages of the tools that this project calls. */
export const PACKAGE_OF_TOOL: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  ss: 'iproute2',
  tc: 'iproute2',
  iperf3: 'iperf3',
  bird: 'bird2',
  birdc: 'bird2',
  nft: 'nftables',
  'nats-server': 'nats-server',
  tcpdump: 'tcpdump',
  grep: 'grep',
  tee: 'coreutils',
  cat: 'coreutils',
};

/** A command that ran and failed: what was run, what it said, and what to do about it. */
export class CommandError extends PreflexError {
  /** The command and its arguments. */
  readonly argv: readonly string[];
  /** Exit code; null when a signal ended it. */
  readonly exitCode: number | null;
  /** What it wrote to standard error, trimmed. */
  readonly stderr: string;

  constructor(argv: readonly string[], exitCode: number | null, stderr: string) {
    const said =
      stderr.trim() === '' ? `it ended with ${exitCode ?? 'a signal'} and said nothing` : stderr.trim();
    const remedy = remedyFor(argv, said);
    super('ERR_SYSTEM', `${commandLine(argv)}: ${said}${remedy === '' ? '' : `\n${remedy}`}`);
    this.argv = argv;
    this.exitCode = exitCode;
    this.stderr = stderr.trim();
  }

  /** Whether the object to be removed or changed was not there (any more). */
  get isMissingObject(): boolean {
    return /No such (process|device|file)|Cannot find device|does not exist|Cannot open network namespace|Cannot remove namespace file/i.test(
      this.stderr,
    );
  }

  /** Whether the object to be added was there already. */
  get isExistingObject(): boolean {
    return /File exists|already assigned/i.test(this.stderr);
  }
}

/** A command line as a person would type it, for messages only. */
export function commandLine(argv: readonly string[]): string {
  return argv
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}

/**
 * Runs a command to its end and returns its standard output.
 *
 * @throws PreflexError ERR_MISSING_REQUIREMENT when the tool is not installed
 * @throws CommandError when it exits with a code outside `okCodes`
 */
export function run(argv: readonly string[], options: RunOptions = {}): string {
  const [tool, ...args] = argv;
  if (tool === undefined)
    throw new PreflexError('ERR_INVALID_OPTION', 'argv: [] is not allowed; it takes a tool name');
  const result = spawnSync(tool, args, {
    input: options.input ?? '',
    encoding: 'utf8',
    maxBuffer: 512 * 1024 * 1024,
    timeout: options.timeoutMs ?? 30_000,
    killSignal: 'SIGKILL',
  });
  if (result.error !== undefined) throw startFailure(argv, result.error);
  if (result.status === null || !(options.okCodes ?? [0]).includes(result.status)) {
    throw new CommandError(argv, result.status, result.stderr);
  }
  return result.stdout;
}

/** Turns a failure to start a command into an error that says what to install or do. */
export function startFailure(argv: readonly string[], cause: Error): PreflexError {
  const tool = argv[0] ?? '';
  const errno = (cause as NodeJS.ErrnoException).code;
  if (errno === 'ENOENT') {
    const debianPackage = PACKAGE_OF_TOOL[tool];
    const remedy =
      debianPackage === undefined ? 'Install it.' : `Install it: apt-get install ${debianPackage}`;
    return new PreflexError(
      'ERR_MISSING_REQUIREMENT',
      `The command "${tool}" is not on this machine. ${remedy}`,
      {
        cause,
      },
    );
  }
  const detail = errno === 'ETIMEDOUT' ? 'it did not end in time' : cause.message;
  return new PreflexError('ERR_SYSTEM', `${commandLine(argv)}: ${detail}`, { cause });
}

/** `argv` made to run inside `where`: the same words, with `ip netns exec NAME` before them if need be. */
export function inNamespace(argv: readonly string[], where: Where = {}): string[] {
  return where.netns === undefined ? [...argv] : ['ip', 'netns', 'exec', where.netns, ...argv];
}

function remedyFor(argv: readonly string[], said: string): string {
  if (/Operation not permitted|Permission denied/i.test(said)) {
    return process.geteuid?.() === 0
      ? 'The kernel refuses this even to root here: give the container CAP_NET_ADMIN and CAP_SYS_ADMIN.'
      : 'Run it as root: network namespaces, routes and rules need CAP_NET_ADMIN and CAP_SYS_ADMIN.';
  }
  if (/Cannot open network namespace/i.test(said))
    return 'There is no namespace of that name: see "ip netns list".';
  if (/Cannot find device/i.test(said))
    return 'There is no device of that name in this namespace: see "ip link".';
  if (/File exists/i.test(said))
    return 'It is there already: remove it first, or choose another name or number.';
  if (/Nexthop has invalid gateway|Network is unreachable/i.test(said)) {
    return 'The next hop is not on a network of that device, or the device is down.';
  }
  if (/IPv6 is disabled/i.test(said))
    return 'Set net.ipv6.conf.*.disable_ipv6=0, or leave the IPv6 address out.';
  return argv[0] === 'ip' && /Unknown device type|not supported/i.test(said)
    ? 'This kernel was built without that kind of device or route.'
    : '';
}
