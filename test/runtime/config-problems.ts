/** What the tests of the gateway's configuration file share: what is wrong with a text, and where. */
import { expect } from 'vitest';
import { ConfigError, parseGatewayConfig } from '../../lib/runtime/config.ts';

/** The problems of a file, as `line:column field: message`. */
export async function problemsOf(text: string): Promise<string[]> {
  const error: unknown = await parseGatewayConfig(text, 'gateway.yaml').then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error === undefined) return [];
  expect(error).toBeInstanceOf(ConfigError);
  return (error as ConfigError).problems.map((p) => `${p.line}:${p.column} ${p.field}: ${p.message}`);
}
