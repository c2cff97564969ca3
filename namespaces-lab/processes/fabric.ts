/**
 * The emulated network as a process: `fabric.ts PLAN`, PLAN being a file with a FabricPlan in JSON.
 *
 * Commands on standard input, one JSON object a line:
 *   {"command": "start", "atNs": N}          start the schedule and the lateness anew; N on CLOCK_MONOTONIC
 *   {"command": "set", "link": "L2", "direction": "forward", "isDown": true}
 *   {"command": "counters", "id": N}         answered by an event `counters` with that id
 *   {"command": "stop"}                      ends, with the report in the event `exit`
 * Events on standard output: `ready`, `counters`, `link` for each change, `exit`.
 */
import { readFileSync } from 'node:fs';
import { clockOriginNs, nowNs } from '../../lib/sys/clock.ts';
import type { DirectionName, FabricPlan, LinkChange } from '../links/fabric-plan.ts';
import { Fabric, raisePriority } from '../links/fabric.ts';
import { runModule, tell } from './module-io.ts';

const plan = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as FabricPlan;
const fabric = new Fabric(plan);
const priority = raisePriority();
const timers: NodeJS.Timeout[] = [];

function change({ link, direction, isDown }: Omit<LinkChange, 'atSeconds'>): void {
  fabric.setDown(link, direction, isDown);
  tell('link', { timeNs: nowNs() + clockOriginNs, link, direction, isDown });
}

runModule(
  (command) => {
    switch (command.command) {
      case 'start': {
        fabric.resetLateness();
        const inMs = (Number(command['atNs']) - clockOriginNs - nowNs()) / 1e6;
        for (const item of plan.schedule ?? []) {
          timers.push(
            setTimeout(
              () => {
                change(item);
              },
              inMs + item.atSeconds * 1000,
            ),
          );
        }
        break;
      }
      case 'set':
        change({
          link: String(command['link']),
          direction: command['direction'] as DirectionName | 'both',
          isDown: Boolean(command['isDown']),
        });
        break;
      case 'counters':
        tell('counters', {
          id: command['id'],
          timeNs: nowNs() + clockOriginNs,
          ...fabric.counters(),
        });
        break;
    }
  },
  () => {
    for (const timer of timers) clearTimeout(timer);
    const report = fabric.report();
    fabric.close();
    tell('exit', { ...report, priority });
  },
);
tell('ready', { ports: plan.ports.map(({ name }) => name) });
