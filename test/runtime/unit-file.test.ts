/** The systemd units of the package, and what the doctor says about those that somebody changed. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkNotifySocket, checkStateDirectory, checkUnits } from '../../lib/runtime/doctor-service.ts';
import { unitProblems, unitUser } from '../../lib/runtime/unit-file.ts';
import { NotifyReceiver } from '../support/notify-receiver.ts';

const FOLDER = fileURLToPath(new URL('../../packaging/systemd', import.meta.url));
const NAMES = readdirSync(FOLDER);
const read = (name: string): string => readFileSync(join(FOLDER, name), 'utf8');
const hasAnalyze = spawnSync('systemd-analyze', ['--version']).status === 0;

describe.each(NAMES)('the unit %s', (name) => {
  it('gives one capability, one device and one folder to a user of its own', () => {
    const text = read(name);
    expect([unitProblems(text), unitUser(text)]).toEqual([[], 'preflex']);
    for (const line of [
      'Type=notify',
      'AmbientCapabilities=CAP_NET_ADMIN',
      'CapabilityBoundingSet=CAP_NET_ADMIN',
      'DeviceAllow=/dev/net/tun rw',
      'NoNewPrivileges=yes',
      'ProtectSystem=strict',
      'ExecReload=kill -HUP $MAINPID',
    ])
      expect(text.split('\n')).toContain(line);
  });

  it('is told apart from a broken one', () => {
    const changed = (from: string | RegExp, to: string): string[] =>
      unitProblems(read(name).replace(from, to));
    expect(changed('[Install]', 'ProtectKernelTunables=yes\n[Install]')).toEqual([
      'ProtectKernelTunables= must not be on: the daemons write /proc/sys/net',
    ]);
    expect(changed('[Install]', 'PrivateDevices=true\nPrivateDevices=no\n[Install]')).toEqual([]);
    expect(changed('CapabilityBoundingSet=CAP_NET_ADMIN', 'CapabilityBoundingSet=CAP_CHOWN')).toEqual([
      'CapabilityBoundingSet= lacks CAP_NET_ADMIN',
    ]);
    expect(changed('AmbientCapabilities=CAP_NET_ADMIN', 'AmbientCapabilities=')).toEqual([
      'User=preflex needs AmbientCapabilities=CAP_NET_ADMIN',
    ]);
    expect(changed(/^DeviceAllow=.*$/m, '')).toEqual(['DeviceAllow=/dev/net/tun rw is missing']);
    expect(changed(/^RuntimeDirectory=.*$/m, '')).toEqual([
      'RuntimeDirectory=preflex is missing, and ProtectSystem=strict makes /run read-only',
    ]);
    expect(changed(/^RuntimeDirectoryPreserve=.*$/m, '')).toEqual([
      'RuntimeDirectoryPreserve=yes is missing: undo journals must outlive a daemon that was killed',
    ]);
    expect(changed(' AF_NETLINK', '')).toEqual(['RestrictAddressFamilies= lacks AF_NETLINK']);
    expect(changed('Type=notify', 'Type=simple')).toEqual(['WatchdogSec= needs Type=notify']);
  });

  it.skipIf(!hasAnalyze)('satisfies systemd itself, but for the command where it is not installed', () => {
    const { stderr } = spawnSync('systemd-analyze', ['verify', join(FOLDER, name)], { encoding: 'utf8' });
    const lines = stderr.split('\n').filter((line) => line.includes('preflex'));
    expect(lines.filter((line) => !line.includes('Command preflex is not executable'))).toEqual([]);
  });
});

describe('the doctor of services', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'preflex-units-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  it('has nothing to say where no unit is installed', () => {
    expect(checkUnits([folder])).toMatchObject({ ok: true, found: 'none installed' });
  });

  it('names what is wrong in an installed unit or a drop-in of it, and the file', () => {
    const name = NAMES[0];
    writeFileSync(join(folder, name), read(name).replace('User=preflex', 'User=no-such-user'));
    mkdirSync(join(folder, `${name}.d`));
    writeFileSync(join(folder, `${name}.d`, 'more.conf'), '[Service]\nPrivateDevices=yes\n');
    const check = checkUnits([join(folder, 'none'), folder]);
    expect(check).toMatchObject({ ok: false, needed: 'optional', found: name });
    expect(check.remedy).toContain(`${join(folder, name)}: PrivateDevices= must not be on`);
    expect(check.remedy).toContain('there is no user no-such-user: systemd-sysusers');
  });

  it('says whether the folder of the control sockets can be used', () => {
    expect(checkStateDirectory(join(folder, 'run'))).toMatchObject({ ok: true, found: 'will be made' });
    expect(checkStateDirectory(folder)).toMatchObject({ ok: true });
    mkdirSync(join(folder, 'open'));
    spawnSync('chmod', ['0777', join(folder, 'open')]);
    expect(checkStateDirectory(join(folder, 'open'))).toMatchObject({
      ok: false,
      remedy: expect.stringContaining('chmod 0700'),
    });
  });

  it('says whether the service manager hears', () => {
    const address = `@preflex-doctor-${process.pid}`;
    expect(checkNotifySocket(undefined)).toMatchObject({ ok: true, found: 'no service manager' });
    expect(checkNotifySocket('vsock:2:1')).toMatchObject({ ok: false });
    expect(checkNotifySocket(address)).toMatchObject({
      ok: false,
      remedy: expect.stringContaining('Nobody listens there'),
    });
    const receiver = new NotifyReceiver(address);
    expect(checkNotifySocket(address)).toMatchObject({ ok: true, found: address });
    receiver.close();
  });
});
