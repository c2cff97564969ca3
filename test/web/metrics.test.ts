/** The metrics of both daemons: read from real cores, complete, bounded, and described in docs/metrics.md. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { REASON_NAMES as LEX_REASONS } from '../../lib/lex/reasons.ts';
import { REASON_NAMES as PREF_REASONS } from '../../lib/pref/reasons.ts';
import { MetricsExporter } from '../../lib/web/metrics/exporter.ts';
import { nowNs } from '../../lib/sys/clock.ts';
import type { MetricFamily } from '../../lib/web/metrics/family.ts';
import { EXPORTED_DESTINATIONS, gatewayFamilies } from '../../lib/web/metrics/gateway-metrics.ts';
import { hostFamilies } from '../../lib/web/metrics/host-metrics.ts';
import {
  ACK,
  FNE,
  letIn,
  lexOn,
  lectOn,
  OUTSIDE_PREFIX,
  S,
  SYN,
  runTimeouts,
  sendOut,
  tcpIn,
  tcpOut,
} from '../pref/gateway-fixture.ts';
import { buildTcp, viewOf } from '../support/packets.ts';
import { measuredGateway, measuredHost } from './measured.ts';

const BALANCING = { strategy: 'loss', betas: { equal: 0.1, conservative: 0, loss: 0.9 } };
const DOCUMENT = new URL('../../docs/metrics.md', import.meta.url).pathname;

const familiesOfGateway = (): MetricFamily[] =>
  gatewayFamilies(measuredGateway([[OUTSIDE_PREFIX]]), () => BALANCING);
const familiesOfHost = (): MetricFamily[] => hostFamilies(measuredHost());

/** Values by their series as the text has it. */
async function seriesOf(families: readonly MetricFamily[]): Promise<Map<string, number>> {
  return parse(await new MetricsExporter(families).text());
}

function parse(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line): [string, number] => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

describe('the metrics of a gateway', () => {
  it('are what the core counted, in total and for each destination and route', async () => {
    const daemon = measuredGateway([[OUTSIDE_PREFIX, '192.0.2.0/24']]);
    const { gateway } = daemon;
    // What is remembered is shown as of now, and a process may have run for longer than that is remembered.
    const startNs = nowNs();
    letIn(gateway, tcpIn({ dscp: FNE, tcpFlags: SYN }), startNs);
    letIn(gateway, tcpIn({ srcPort: 40001, tcpFlags: SYN }), startNs);
    sendOut(gateway, tcpOut({ dscp: lectOn(1), tcpFlags: ACK, payload: new Uint8Array(60) }), startNs);
    sendOut(gateway, tcpOut({ dscp: lexOn(1), tcpFlags: ACK, payload: new Uint8Array(60) }), startNs);
    runTimeouts(gateway, startNs + 1.1 * S);
    const series = await seriesOf(gatewayFamilies(daemon, () => BALANCING));
    const of = (name: string): number | undefined => series.get(`preflex_gateway_${name}`);
    expect(of('packets_total{direction="outbound",reason="outPathId"}')).toBe(2);
    expect(of('fne_received_total{kind="marked"}')).toBe(1);
    expect(of('fne_received_total{kind="syn"}')).toBe(1);
    expect(of('fne_received_total{kind="answer"}')).toBe(0);
    expect(of('route_bytes_total{route="west"}')).toBe(200);
    const there = `destination="${OUTSIDE_PREFIX}",route="west"`;
    expect(of(`destination_interval_bytes{${there}}`)).toBe(200);
    expect(of(`destination_interval_lex_bytes{${there}}`)).toBe(100);
    expect(of(`destination_loss_ratio{${there}}`)).toBe(0.5);
    expect(of(`destination_flowlet_ratio{${there}}`)).toBe(gateway.flowletRatio(0, 1));
    expect(of('fne_memory_entries')).toBe(2);
    expect(of('route_drained{route="north"}')).toBe(1);
    expect(of('beta_ratio{split="loss"}')).toBe(0.9);
    expect(series.get('preflex_device_kernel_dropped_packets_total{device="tun-a"}')).toBe(6);
    expect(series.get('preflex_device_refused_packets_total{device="tun-a",reason="EIO"}')).toBe(5);
  });

  it('have histograms of the packet loop, cumulated and in base units', async () => {
    const series = await seriesOf(familiesOfGateway());
    const of = (name: string): [string, number][] =>
      [...series].filter(([key]) => key.startsWith(`preflex_loop_${name}`));
    expect(of('batch_seconds')).toEqual([
      ['preflex_loop_batch_seconds_bucket{le="0.00002",device="tun-a"}', 1],
      ['preflex_loop_batch_seconds_bucket{le="0.001",device="tun-a"}', 1],
      ['preflex_loop_batch_seconds_bucket{le="+Inf",device="tun-a"}', 2],
      ['preflex_loop_batch_seconds_sum{device="tun-a"}', 0.00302],
      ['preflex_loop_batch_seconds_count{device="tun-a"}', 2],
    ]);
    expect(of('batch_packets_sum')).toEqual([['preflex_loop_batch_packets_sum{device="tun-a"}', 66]]);
    expect(of('lag_seconds_count')).toEqual([['preflex_loop_lag_seconds_count', 0]]);
  });

  it('have a series for every reason', async () => {
    const series = [...(await seriesOf(familiesOfGateway())).keys()];
    for (const reason of PREF_REASONS) {
      expect(
        series.filter((name) => name.includes(`reason="${reason}"`)),
        reason,
      ).toHaveLength(1);
    }
  });

  it('have series for so many destinations, and say how many are left out', async () => {
    const prefixes = Array.from({ length: EXPORTED_DESTINATIONS + 7 }, (_, i) => [`10.${i}.0.0/16`]);
    const series = await seriesOf(gatewayFamilies(measuredGateway(prefixes), () => BALANCING));
    const ratios = [...series.keys()].filter((name) =>
      name.startsWith('preflex_gateway_destination_flowlet_ratio'),
    );
    expect(ratios).toHaveLength(3 * EXPORTED_DESTINATIONS);
    expect(series.get('preflex_gateway_destinations')).toBe(EXPORTED_DESTINATIONS + 7);
    expect(series.get('preflex_gateway_destinations_omitted')).toBe(7);
  });

  it('are read anew when they are asked for, but not more often than they may be', async () => {
    const daemon = measuredGateway([[OUTSIDE_PREFIX]]);
    const families = gatewayFamilies(daemon, () => BALANCING);
    const [eager, lazy] = [new MetricsExporter(families, 0), new MetricsExporter(families, 60_000)];
    const name = 'preflex_gateway_packets_total{direction="inbound",reason="inPassed"}';
    const read = async (exporter: MetricsExporter) => parse(await exporter.text()).get(name);
    expect([await read(eager), await read(lazy)]).toEqual([0, 0]);
    letIn(daemon.gateway, tcpIn({ tcpFlags: ACK }), 0);
    // Past the turn of the event loop in which the figures are shared.
    await new Promise((resolve) => setImmediate(resolve));
    expect([await read(eager), await read(lazy)]).toEqual([1, 0]);
  });
});

describe('the metrics of a host', () => {
  it('are what the core counted', async () => {
    const host = measuredHost();
    const packet = buildTcp({ src: '10.0.0.1', dst: '198.51.100.7', tcpFlags: SYN });
    host.lex.handleOutbound(viewOf(packet), 0, packet.length, 0);
    host.lex.handleOutbound(viewOf(Uint8Array.of(0)), 0, 1, 0);
    host.lex.handleInbound(viewOf(Uint8Array.of(0)), 0, 1, 0);
    const series = await seriesOf(hostFamilies(host));
    const of = (name: string): number | undefined => series.get(`preflex_host_${name}`);
    expect(of('packets_total{direction="outbound",reason="fneSyn"}')).toBe(1);
    expect(of('packets_total{direction="outbound",reason="notIp"}')).toBe(1);
    expect(of('packets_total{direction="inbound",reason="notIp"}')).toBe(1);
    expect(of('sent_packets_total{codepoint="fne"}')).toBe(1);
    expect(of('sent_bytes_total{codepoint="fne"}')).toBe(packet.length);
    expect(of('flows')).toBe(1);
    expect(of('excluded_bytes_total{reason="tfo"}')).toBe(0);
  });

  it('have a series for every reason', async () => {
    const series = [...(await seriesOf(familiesOfHost())).keys()];
    for (const reason of LEX_REASONS.slice(1)) {
      expect(
        series.some((name) => name.includes(`reason="${reason}"`)),
        reason,
      ).toBe(true);
    }
  });
});

describe('docs/metrics.md', () => {
  const rowOf = ({ name, type, labels, help }: MetricFamily): string =>
    `| \`${name}\` | ${type} | ${(labels ?? []).map((label) => `\`${label}\``).join(', ')} | ${help} |`;
  const rowsOf = (families: readonly MetricFamily[]): string[] => families.map(rowOf).sort();

  it('lists exactly what is exported', () => {
    const tables = readFileSync(DOCUMENT, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      // Spaces that only line the columns up.
      .map((line) => line.replaceAll(/\s+\|/g, ' |').replaceAll(/\|\s+/g, '| '));
    const documented = [...new Set(tables)].sort();
    const exported = [...new Set([...rowsOf(familiesOfGateway()), ...rowsOf(familiesOfHost())])].sort();
    expect(documented).toEqual(exported.map((row) => row.replaceAll(/\|\s+/g, '| ')));
  });
});
