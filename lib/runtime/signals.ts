/** How a daemon is told to stop and to show its counters. */

/** What a daemon does on signals. */
export interface SignalActions {
  /** Called once, on the first SIGINT, SIGTERM or SIGHUP. */
  readonly stop: () => void;
  /** Called on every SIGUSR1. */
  readonly showCounters: () => void;
}

/** Installs the handlers; the returned function takes them away. */
export function handleSignals(actions: SignalActions): () => void {
  let isStopping = false;
  const stop = () => {
    if (isStopping) return;
    isStopping = true;
    actions.stop();
  };
  const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of stopSignals) process.on(signal, stop);
  process.on('SIGUSR1', actions.showCounters);
  return () => {
    for (const signal of stopSignals) process.off(signal, stop);
    process.off('SIGUSR1', actions.showCounters);
  };
}
