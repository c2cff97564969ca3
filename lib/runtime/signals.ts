/** How a daemon is told to stop, to show its counters, to read its configuration and to open its log file again. */

/** What a daemon does on signals. */
export interface SignalActions {
  /** Called once, on the first SIGINT or SIGTERM; on SIGHUP too when there is nothing to reload. */
  readonly stop: () => void;
  /** Called on every SIGUSR1. */
  readonly showCounters: () => void;
  /** Called on every SIGUSR2. */
  readonly reopenLog: () => void;
  /** Called on every SIGHUP. A daemon without a configuration file has none, and ends with its terminal. */
  readonly reload?: (() => void) | undefined;
}

/** Installs the handlers; the returned function takes them away. */
export function handleSignals(actions: SignalActions): () => void {
  let isStopping = false;
  const stop = () => {
    if (isStopping) return;
    isStopping = true;
    actions.stop();
  };
  const handlers: readonly (readonly [NodeJS.Signals, () => void])[] = [
    ['SIGINT', stop],
    ['SIGTERM', stop],
    ['SIGHUP', actions.reload ?? stop],
    ['SIGUSR1', actions.showCounters],
    ['SIGUSR2', actions.reopenLog],
  ];
  for (const [signal, handler] of handlers) process.on(signal, handler);
  return () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
}
