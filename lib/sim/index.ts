/** `preflex/sim`: networks in virtual time. Pure, for any operating system; re-exports only. */
export { PreflexError } from '../errors.ts';
export type { PreflexErrorCode } from '../errors.ts';
export {
  Link,
  LINK_DROP_BLACKHOLE,
  LINK_DROP_LOSS,
  LINK_DROP_QUEUE_FULL,
  LINK_DROP_REASONS,
  LINK_DROPPED,
} from './link.ts';
export type { LinkOptions } from './link.ts';
