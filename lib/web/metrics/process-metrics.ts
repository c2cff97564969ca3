/** What every daemon exports of its process, its packet loop and its devices. */
import { readdirSync } from 'node:fs';
import type { DeviceReport } from '../../runtime/device-report.ts';
import type { LoopReport } from '../../runtime/packet-loop.ts';
import { packageVersion } from '../../runtime/version.ts';
import type { MetricFamily } from './family.ts';
import { single } from './family.ts';

const US = 1e-6;
const NS = 1e-9;

/** The process. */
export function processFamilies(): MetricFamily[] {
  return [
    {
      name: 'preflex_build_info',
      help: 'Version of preflex and of Node.js; always 1.',
      type: 'gauge',
      labels: ['version', 'node'],
      read: (add) => {
        add(1, { version: packageVersion(), node: process.version });
      },
    },
    {
      name: 'process_cpu_seconds_total',
      help: 'Processor time of the process, user and system.',
      type: 'counter',
      read: (add) => {
        const { user, system } = process.cpuUsage();
        add((user + system) * US);
      },
    },
    single(
      'gauge',
      'process_start_time_seconds',
      'When the process started, seconds since 1970.',
      () => performance.timeOrigin / 1000,
    ),
    single('gauge', 'process_resident_memory_bytes', 'Memory that the process has in RAM.', () =>
      process.memoryUsage.rss(),
    ),
    {
      name: 'process_open_fds',
      help: 'Open file descriptors.',
      type: 'gauge',
      read: (add) => {
        // One of them is the folder that is being read.
        add(readdirSync('/proc/self/fd').length - 1);
      },
    },
    single(
      'gauge',
      'nodejs_heap_used_bytes',
      'JavaScript heap in use.',
      () => process.memoryUsage().heapUsed,
    ),
  ];
}

/** The packet loop. */
export function loopFamilies(read: () => LoopReport): MetricFamily[] {
  return [
    {
      name: 'preflex_loop_batch_packets',
      help: 'Packets that one read of a TUN returned; a super-packet counts once.',
      type: 'histogram',
      labels: ['device'],
      scale: 1,
      read: (add) => {
        for (const { source, batchPackets } of read().pumps) add(batchPackets, { device: source });
      },
    },
    {
      name: 'preflex_loop_batch_seconds',
      help: 'Time from the reading of a batch to the writing of its last packet.',
      type: 'histogram',
      labels: ['device'],
      scale: NS,
      read: (add) => {
        for (const { source, batchNs } of read().pumps) add(batchNs, { device: source });
      },
    },
    {
      name: 'preflex_loop_lag_seconds',
      help: "How much later than planned the loop's 20 ms timer ran; packets that came meanwhile waited as long.",
      type: 'histogram',
      scale: NS,
      read: (add) => {
        add(read().lagNs);
      },
    },
  ];
}

/** The TUN devices. */
export function deviceFamilies(read: () => Readonly<Record<string, DeviceReport>>): MetricFamily[] {
  const counter = (name: string, help: string, value: (report: DeviceReport) => number): MetricFamily => ({
    name,
    help,
    type: 'counter',
    labels: ['device'],
    read: (add) => {
      for (const [device, report] of Object.entries(read())) add(value(report), { device });
    },
  });
  return [
    counter(
      'preflex_device_read_packets_total',
      'Packets read from a TUN.',
      ({ packetsRead }) => packetsRead,
    ),
    counter(
      'preflex_device_written_packets_total',
      'Packets written to a TUN.',
      ({ packetsWritten }) => packetsWritten,
    ),
    counter(
      'preflex_device_kernel_dropped_packets_total',
      'Packets that the kernel could not queue for the daemon, since the queue of the TUN was full: loss that the daemon made.',
      ({ kernelDropped }) => kernelDropped,
    ),
    {
      name: 'preflex_device_refused_packets_total',
      help: 'Packets that a TUN did not take, by error.',
      type: 'counter',
      labels: ['device', 'reason'],
      read: (add) => {
        for (const [device, { refused }] of Object.entries(read())) {
          for (const [reason, count] of Object.entries(refused)) add(count, { device, reason });
        }
      },
    },
  ];
}
