/** The version of this package. */
import { createRequire } from 'node:module';

/** As package.json has it. */
export function packageVersion(): string {
  const require = createRequire(import.meta.url);
  // The same file from lib/runtime and from dist/lib/runtime.
  const path = import.meta.url.endsWith('.ts') ? '../../package.json' : '../../../package.json';
  return (require(path) as { version: string }).version;
}
