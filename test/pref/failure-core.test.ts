import { describe, expect, it } from 'vitest';
import { FailureCore } from '../../lib/pref/failure-core.ts';
import { FailureDetector } from '../../lib/pref/failure-detector.ts';
import { checkGatewayOptions } from '../../lib/pref/gateway-options.ts';
import { RouteTable } from '../../lib/pref/route-table.ts';

const MS = 1e6;
const DAY_MS = 86_400_000;
const { failures } = checkGatewayOptions({ routes: [{ name: 'a', pathId: 1 }] });
const table = (): RouteTable => new RouteTable([1], () => 1, 1);

describe('the time of the detector', () => {
  it('is steady once it has gone on in small steps for 100 ms, and after that for as long as it does', () => {
    const core = new FailureCore(failures, table(), () => 0.1);
    const goOn = (toMs: number): boolean => {
      core.clockNs[0] = toMs * MS;
      core.advance();
      return core.isSteady;
    };
    expect(goOn(1000)).toBe(false);
    expect(goOn(1050)).toBe(false);
    expect(goOn(1100)).toBe(true);
    for (let ms = 1150; ms < 26 * DAY_MS; ms += 50) goOn(ms);
    expect(core.isSteady).toBe(true);
    expect(goOn(27 * DAY_MS)).toBe(false);
  });

  it.each([1, 6, 86_400, 30 * 86_400])(
    'lets running flows probe %d s after a suspension, if not at once',
    (seconds) => {
      const detector = new FailureDetector(failures, table(), () => 0.1);
      const suspendedAtMs = 5 * DAY_MS;
      detector.suspendedAtMs = suspendedAtMs;
      detector.setTime((suspendedAtMs + seconds * 1000) * MS);
      expect(detector.mayProbe(false)).toBe(seconds > 5);
      expect(detector.mayProbe(true)).toBe(true);
    },
  );
});
