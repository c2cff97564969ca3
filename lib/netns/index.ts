/** Everything of lib/netns under one name: re-exports only. */
export * from './addresses.ts';
export * from './command.ts';
export * from './ip.ts';
export * from './lab-scope.ts';
export * from './links.ts';
export * from './namespaces.ts';
export * from './netlink-messages.ts';
export * from './netlink-reader.ts';
export * from './onlooker-messages.ts';
export * from './process-info.ts';
export * from './processes.ts';
export * from './route-count.ts';
export * from './routes.ts';
export * from './rtnetlink.ts';
export * from './rules.ts';
export * from './sysctl.ts';
export * from './wait.ts';
