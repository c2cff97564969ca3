/** `preflex/sim`: networks in virtual time. Pure, for any operating system; re-exports only. */
export { PreflexError } from '../errors.ts';
export type { PreflexErrorCode } from '../errors.ts';
export {
  Link,
  LINK_DROP_BLACKHOLE,
  LINK_DROP_EARLY,
  LINK_DROP_LOSS,
  LINK_DROP_QUEUE_FULL,
  LINK_DROP_REASONS,
  LINK_DROPPED,
} from './link.ts';
export type { GilbertElliott, LinkOptions } from './link.ts';
export type { RedOptions } from './red.ts';
export { Network } from './network.ts';
export type { Conservation, NetworkReport } from './network.ts';
export type {
  EgressSpec,
  GatewaySpec,
  HostSpec,
  LinkSpec,
  NodeSpec,
  RouterSpec,
  RouteSpec,
  Topology,
} from './topology.ts';
export type { Carrier, CarrierReport, DropWatch, PacketFilter } from './carrier.ts';
export type { Host, HostOptions } from './host.ts';
export type { GatewayNode } from './gateway-node.ts';
export type { NetworkNode } from './node.ts';
export type { EventQueue } from './event-queue.ts';
export type { PacketPool } from './packet-pool.ts';
export { RandomStream, RandomStreams } from './random.ts';
export type { TcpOptions, TcpSettings } from './tcp/options.ts';
export type { CongestionControl } from './tcp/congestion.ts';
export { END_FINISHED, END_RESET, END_TIMED_OUT } from './tcp/app.ts';
export type { TcpApp } from './tcp/app.ts';
export type { TcpConnection } from './tcp/connection.ts';
export type { TcpStack, TcpTotals } from './tcp/stack.ts';
export { sink, startTransfer } from './apps/transfer.ts';
export { ClosedLoop } from './apps/closed-loop.ts';
export type { ClosedLoopOptions } from './apps/closed-loop.ts';
export { Requester, responder } from './apps/request-response.ts';
export type { ExchangeOptions } from './apps/request-response.ts';
export { OnOff } from './apps/on-off.ts';
export type { OnOffOptions } from './apps/on-off.ts';
export { FlowLog } from './apps/flow-log.ts';
export type { FlowReport } from './apps/flow-log.ts';
export { generateNetwork } from './generate.ts';
export type { GeneratedDomain, GeneratedNetwork, GenerateOptions } from './generate.ts';
export { FluidSimulation } from './fluid/simulation.ts';
export type { FluidOptions, FluidReport, FluidRouteReport } from './fluid/simulation.ts';
export { evenLoads } from './fluid/even-loads.ts';
export type { FluidLoad } from './fluid/loads.ts';
export type { FluidLinkReport } from './fluid/links.ts';
export type { FluidInterval } from './fluid/update-log.ts';
export { DownloadLoop } from './apps/download-loop.ts';
export type { DownloadLoopOptions } from './apps/download-loop.ts';
export { FIGURE1_SCENARIOS, findFigure1Scenario } from './scenarios/figure1-scenarios.ts';
export type { Figure1Changes } from './scenarios/figure1-scenarios.ts';
export { MODES } from './scenarios/scenario.ts';
export type { Figure1Scenario, LinkChange, Mode } from './scenarios/scenario.ts';
export type { Betas, Strategy } from '../pref/balancers/strategies.ts';
export type { FlowSchedule, ScheduleStep } from './scenarios/schedule.ts';
export type { SizeModel } from './scenarios/sizes.ts';
export { figure1Topology } from './scenarios/figure1-topology.ts';
export type { Figure1NetworkOptions } from './scenarios/figure1-topology.ts';
export { runFigure1 } from './scenarios/figure1-run.ts';
export type { Figure1Class, Figure1Record, Figure1RunOptions, RouteTruth } from './scenarios/figure1-run.ts';
export type {
  DestinationRoute,
  FlowOutcome,
  FlowRecord,
  Interval,
  IntervalRoute,
} from './scenarios/records.ts';
export { runManyRoutes } from './scenarios/many-routes.ts';
export type { ManyRoutesOptions, ManyRoutesRecord, RouteRecord } from './scenarios/many-routes.ts';
export { runBulkFlows } from './scenarios/bulk-flows.ts';
export type { BulkFlowsOptions, BulkFlowsRecord } from './scenarios/bulk-flows.ts';
export { estimate } from './statistics.ts';
export type { Estimate } from './statistics.ts';
