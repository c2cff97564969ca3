/** Scenarios of UDP sockets, each one thing that programs do with them, rightly or wrongly. */
import { ORDER_SCENARIOS } from './scenarios/order.ts';
import { SENDING_SCENARIOS } from './scenarios/sending.ts';
import { SOCKET_SCENARIOS } from './scenarios/sockets.ts';
import type { Scenario } from './trace.ts';

export const SCENARIOS: Record<string, Scenario> = {
  ...SOCKET_SCENARIOS,
  ...SENDING_SCENARIOS,
  ...ORDER_SCENARIOS,
};
