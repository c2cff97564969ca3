/**
 * The processes of an experiment in their namespaces, started and ready: emulated network, sources, gateways, agents,
 * clients. In a baseline there are no gateways and agents; the kernel's routes stand in their place.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import type { Datapath } from '../processes/datapath.ts';
import { startDaemon } from '../processes/datapath.ts';
import { PreflexProcess } from '../processes/preflex-process.ts';
import type { Betas } from '../../lib/pref/balancers/strategies.ts';
import { betasOf as betasOfBalanced } from '../../lib/sim/scenarios/scenario.ts';
import { failureOf, isBaseline } from '../scenarios/scenario.ts';
import type { Baseline, DomainsScenario, Figure1Scenario, Scenario } from '../scenarios/scenario.ts';
import { divideRoutes, requireKernel } from '../topologies/baseline.ts';
import { buildDomains, connectDomains, connectSubflows, DOMAINS } from '../topologies/domains.ts';
import { buildFigure1, connectFigure1, FIGURE1 } from '../topologies/figure1.ts';
import type { ClientPlan, FlowClass } from '../traffic/flow-class.ts';
import { requireSchedule } from '../traffic/schedule.ts';
import { PAPER_SIZES } from '../traffic/sizes.ts';

/** A process and what it is called in the topology. */
export interface NamedProcess {
  readonly name: string;
  readonly process: PreflexProcess;
  /** Of a gateway: the path of its log. */
  readonly logFile?: string;
}

/** A route of the reported gateway and where it enters the emulated network. */
export interface RoutePlace {
  readonly name: string;
  /** Port of the emulated network. */
  readonly port: string;
  /** Its link, in direction `forward`. */
  readonly link: string;
  readonly rateBitsPerSec: number;
}

/** A destination of the reported gateway. */
export interface DestinationPlace {
  readonly name: string;
  readonly prefix: string;
}

/** A running experiment. */
export interface Experiment {
  readonly fabric: PreflexProcess;
  /** The first is the one whose intervals are reported. None in a baseline, nor agents. */
  readonly gateways: readonly NamedProcess[];
  readonly agents: readonly NamedProcess[];
  readonly sources: readonly NamedProcess[];
  readonly clients: readonly NamedProcess[];
  readonly classes: readonly FlowClass[];
  readonly routes: readonly RoutePlace[];
  readonly destinations: readonly DestinationPlace[];
  /** Namespaces of ingresses and egresses by name, in Figure 1's network. */
  readonly netnsOf: Readonly<Record<string, string>>;
  /** Devices whose transmit queues must not have dropped anything. */
  readonly devices: readonly { readonly netns: string; readonly device: string }[];
}

/** What applies to an experiment beside its scenario. */
export interface ExperimentSetup {
  readonly seed: number;
  /** Null in a baseline. */
  readonly betas: Betas | null;
  /** Of agents and gateways; without meaning in a baseline. */
  readonly datapath: Datapath;
  readonly onProgress: (line: string) => void;
}

const PORT = 9000;
const CONGESTION = 'cubic';
/** Spreads seeds that are near each other: 2^32 / the golden ratio. */
const HASH_SPREAD = 0x9e3779b1;

/** The weights that a scenario is run with unless told otherwise; null in a baseline. */
export function betasOf({ mode, mixedBetas }: Scenario): Betas | null {
  return isBaseline(mode) ? null : betasOfBalanced({ mode, ...(mixedBetas && { mixedBetas }) });
}

/**
 * Builds the topology and starts everything but the traffic. Everything is undone when `scope` closes.
 *
 * @throws PreflexError ERR_MISSING_REQUIREMENT, as a rejection too, when the kernel lacks what a baseline takes
 */
export function setUpExperiment(
  scope: LabScope,
  scenario: Scenario,
  setup: ExperimentSetup,
): Promise<Experiment> {
  if (isBaseline(scenario.mode)) requireKernel(scenario.mode);
  const folder = mkdtempSync(join(tmpdir(), 'preflex-lab-'));
  scope.defer(`folder ${folder}`, () => {
    rmSync(folder, { recursive: true, force: true });
  });
  const starter = new Starter(scope, folder, scenario, setup);
  return scenario.topology === 'figure1' ? starter.figure1(scenario) : starter.domains(scenario);
}

class Starter {
  readonly #scope: LabScope;
  readonly #folder: string;
  readonly #scenario: Scenario;
  readonly #setup: ExperimentSetup;
  readonly #baseline: Baseline | undefined;

  constructor(scope: LabScope, folder: string, scenario: Scenario, setup: ExperimentSetup) {
    this.#scope = scope;
    this.#folder = folder;
    this.#scenario = scenario;
    this.#setup = setup;
    this.#baseline = isBaseline(scenario.mode) ? scenario.mode : undefined;
  }

  async figure1(scenario: Figure1Scenario): Promise<Experiment> {
    const { onProgress, seed } = this.#setup;
    onProgress('building the network of Figure 1');
    const topology = buildFigure1(this.#scope, {
      ratesBitsPerSec: scenario.ratesBitsPerSec,
      schedule: scenario.changes,
      seed,
      hasEmulatedAccess: this.#baseline !== undefined,
    });
    const { namespaces } = topology;
    const fabric = await this.#module('fabric', namespaces.fabric, 'processes/fabric', topology.plan);
    connectFigure1(topology);
    this.#divide([namespaces.p], ['l1', 'l2', 'l3']);
    onProgress(
      this.#baseline === undefined
        ? 'starting sources, gateway P and the agent of its host'
        : 'starting sources and clients',
    );
    const classes = FIGURE1.ingresses.flatMap((ingress) =>
      FIGURE1.egresses.map((egress): FlowClass => {
        const name = `${ingress.name}>${egress.name}`;
        return {
          name,
          address: ingress.address,
          port: PORT,
          size: scenario.sizes ?? PAPER_SIZES,
          concurrent: requireSchedule(name, scenario.flows[name] ?? [{ fromSeconds: 0, flows: 0 }]),
        };
      }),
    );
    const [sources, gateways, agents, clients] = await Promise.all([
      Promise.all(FIGURE1.ingresses.map(({ name, host }) => this.#source(name, namespaces[host]))),
      this.#unlessBaseline(() => [
        this.#gateway('p', namespaces.p, FIGURE1.insidePrefix, FIGURE1.egresses, FIGURE1.routes, false),
      ]),
      this.#unlessBaseline(() => [this.#agent('p', namespaces.src, '10.74.3.2')]),
      Promise.all(
        FIGURE1.egresses.map(({ name }) =>
          this.#client(name, namespaces[name], classes, (flowClass) => flowClass.name.endsWith(`>${name}`)),
        ),
      ),
    ]);
    return {
      fabric,
      gateways,
      agents,
      sources,
      clients,
      classes,
      routes: FIGURE1.routes.map(({ name, link }, i) => ({
        name,
        port: name,
        link,
        rateBitsPerSec: scenario.ratesBitsPerSec[i],
      })),
      destinations: FIGURE1.egresses,
      netnsOf: Object.fromEntries([
        ...FIGURE1.ingresses.map(({ name, host }) => [name, namespaces[host]] as const),
        ...FIGURE1.egresses.map(({ name }) => [name, namespaces[name]] as const),
      ]),
      devices: [
        ...(['i1', 'i2', 'e1', 'e2'] as const).map((role) => ({ netns: namespaces[role], device: 'n0' })),
        ...['p0', 'l1', 'l2', 'l3'].map((device) => ({ netns: namespaces.p, device })),
        { netns: namespaces.src, device: 'h0' },
      ],
    };
  }

  async domains(scenario: DomainsScenario): Promise<Experiment> {
    const { onProgress, seed } = this.#setup;
    onProgress('building two domains with three routes between them');
    const topology = buildDomains(this.#scope, {
      ratesBitsPerSec: scenario.ratesBitsPerSec,
      schedule: scenario.changes,
      seed,
      hasEmulatedAccess: this.#baseline !== undefined,
    });
    const { namespaces } = topology;
    const fabric = await this.#module('fabric', namespaces.fabric, 'processes/fabric', topology.plan);
    connectDomains(topology);
    if (this.#baseline === 'mptcp') connectSubflows(topology);
    else this.#divide([namespaces.ps, namespaces.pc], DOMAINS.routes);
    onProgress(
      this.#baseline === undefined
        ? 'starting source, both gateways and both agents'
        : 'starting source and client',
    );
    const [s, c] = DOMAINS.sides;
    const classes: FlowClass[] = [
      {
        name: 'running',
        address: s.address,
        port: PORT,
        // More than can come in the time: they run to the end.
        size: { bytes: Math.ceil(scenario.running.bytesPerSec * scenario.seconds * 2) },
        bytesPerSec: scenario.running.bytesPerSec,
        concurrent: [{ fromSeconds: 0, flows: scenario.running.connections }],
      },
      {
        name: 'new',
        address: s.address,
        port: PORT,
        size: { bytes: scenario.arriving.bytes },
        perSecond: scenario.arriving.perSecond,
      },
    ];
    const routes = DOMAINS.routes.map((name) => ({ name }));
    const [sources, gateways, agents, clients] = await Promise.all([
      Promise.all([this.#source('s', namespaces.s)]),
      this.#unlessBaseline(() => [
        this.#gateway('ps', namespaces.ps, s.inside, [{ prefix: c.inside }], routes, true),
        this.#gateway('pc', namespaces.pc, c.inside, [{ prefix: s.inside }], routes, true),
      ]),
      this.#unlessBaseline(() => [
        this.#agent('s', namespaces.s, s.address),
        this.#agent('c', namespaces.c, c.address),
      ]),
      Promise.all([this.#client('c', namespaces.c, classes, () => true)]),
    ]);
    return {
      fabric,
      gateways,
      agents,
      sources,
      clients,
      classes,
      routes: DOMAINS.routes.map((name, i) => ({
        name,
        port: `ps-${name}`,
        link: name.toUpperCase(),
        rateBitsPerSec: scenario.ratesBitsPerSec[i],
      })),
      destinations: [{ name: 'c', prefix: c.inside }],
      netnsOf: {},
      devices: [
        ...(['ps', 'pc'] as const).flatMap((role) =>
          ['p0', ...DOMAINS.routes].map((device) => ({ netns: namespaces[role], device })),
        ),
        { netns: namespaces.s, device: 'h0' },
        { netns: namespaces.c, device: 'h0' },
      ],
    };
  }

  /** Starts gateways or agents; none in a baseline. */
  #unlessBaseline(start: () => readonly Promise<NamedProcess>[]): Promise<NamedProcess[]> {
    return this.#baseline === undefined ? Promise.all(start()) : Promise.resolve([]);
  }

  /** Sets the routes of the gateways in a baseline, each with a hash of its own. */
  #divide(gateways: readonly string[], routes: readonly string[]): void {
    if (this.#baseline === undefined) return;
    const rates = this.#scenario.ratesBitsPerSec;
    for (const [i, netns] of gateways.entries()) {
      const hashSeed = Math.imul(this.#setup.seed, HASH_SPREAD) + i;
      divideRoutes(netns, this.#baseline, routes, rates, hashSeed);
    }
  }

  async #source(name: string, netns: string): Promise<NamedProcess> {
    const process = await PreflexProcess.startModule(this.#scope, netns, 'traffic/source', [
      String(PORT),
      CONGESTION,
      ...(this.#baseline === 'mptcp' ? ['mptcp'] : []),
    ]);
    return { name, process };
  }

  async #client(
    name: string,
    netns: string,
    classes: readonly FlowClass[],
    isOwn: (flowClass: FlowClass) => boolean,
  ): Promise<NamedProcess> {
    const failure = failureOf(this.#scenario);
    const plan: ClientPlan = {
      classes,
      own: classes.filter(isOwn).map((flowClass) => flowClass.name),
      seed: this.#setup.seed,
      seconds: this.#scenario.seconds,
      // What was under way when the link failed still arrives for one delay; later nothing does.
      gapProbes: failure === undefined ? [] : [failure.from + GAP_PROBE_SECONDS],
      ...(this.#baseline === 'mptcp' ? { subflowAddresses: DOMAINS.subflowAddresses } : {}),
    };
    return { name, process: await this.#module(`client-${name}`, netns, 'traffic/client', plan) };
  }

  async #gateway(
    name: string,
    netns: string,
    inside: string,
    destinations: readonly { readonly prefix: string }[],
    routes: readonly { readonly name: string }[],
    isExposed: boolean,
  ): Promise<NamedProcess> {
    const { mode, intervalSeconds } = this.#scenario;
    const { betas } = this.#setup;
    const config = this.#file(`gateway-${name}`, {
      inside: { device: 'p0', prefixes: [inside] },
      routes: routes.map((route) => ({ name: route.name, device: route.name })),
      exposeTo: isExposed ? routes.map((route) => route.name) : [],
      destinations: destinations.map(({ prefix }) => ({ prefixes: [prefix] })),
      strategy: mode,
      // `equal` learns nothing from losses: there is nothing to weigh, and no failure to infer.
      ...(mode === 'equal' ? { failures: { infer: false } } : mode === 'self-tuning' ? {} : { betas }),
      intervalSeconds,
    });
    const logFile = join(this.#folder, `gateway-${name}.log`);
    return {
      name,
      logFile,
      process: await this.#daemon(netns, ['gateway', '--config', config, '--log-file', logFile]),
    };
  }

  async #agent(name: string, netns: string, address: string): Promise<NamedProcess> {
    const args = ['host', '--address', address, '--device', 'h0', '--interval', '3600'];
    return {
      name,
      process: await this.#daemon(netns, [...args, ...(this.#scenario.hostArgs ?? [])]),
    };
  }

  #daemon(netns: string, args: readonly string[]): Promise<PreflexProcess> {
    return startDaemon(this.#scope, netns, args, this.#setup.datapath);
  }

  #module(name: string, netns: string, module: string, plan: object): Promise<PreflexProcess> {
    return PreflexProcess.startModule(this.#scope, netns, module, [this.#file(name, plan)]);
  }

  #file(name: string, content: object): string {
    const path = join(this.#folder, `${name}.json`);
    writeFileSync(path, JSON.stringify(content));
    return path;
  }
}

/** How long after a failure each flow is asked for the gap that it is in. */
const GAP_PROBE_SECONDS = 0.25;
