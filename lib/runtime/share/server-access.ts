/**
 * How to reach a NATS server: addresses, and files with what it asks for. Secrets are in files of their own, read anew for
 * each connection, and appear nowhere else.
 */
import { readFile } from 'node:fs/promises';
import { accessSync, constants } from 'node:fs';
import type { ConnectionOptions } from '@nats-io/transport-node';
import { PreflexError } from '../../errors.ts';

/** Servers and the files that go with them; at most one of tokenFile, credentialsFile, and user with passwordFile. */
export interface ServerAccess {
  /** `nats://HOST:PORT` or `tls://HOST:PORT`. */
  readonly servers: readonly string[];
  readonly tokenFile?: string | undefined;
  /** A `.creds` file. */
  readonly credentialsFile?: string | undefined;
  readonly user?: string | undefined;
  readonly passwordFile?: string | undefined;
  /** Files in PEM; without `ca` the authorities that Node knows. */
  readonly tls?:
    | {
        readonly ca?: string | undefined;
        readonly cert?: string | undefined;
        readonly key?: string | undefined;
      }
    | undefined;
}

/**
 * Checks that the files can be read.
 *
 * @throws PreflexError ERR_INVALID_CONFIG naming the field and the file
 */
export function requireReadable({ tokenFile, credentialsFile, passwordFile, tls }: ServerAccess): void {
  const files = {
    tokenFile,
    credentialsFile,
    passwordFile,
    'tls.ca': tls?.ca,
    'tls.cert': tls?.cert,
    'tls.key': tls?.key,
  };
  for (const [field, file] of Object.entries(files)) {
    if (file === undefined) continue;
    try {
      accessSync(file, constants.R_OK);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new PreflexError('ERR_INVALID_CONFIG', `share.${field}: ${file} cannot be read (${code})`);
    }
  }
}

/** What the client shows the server, from the files as they are now. */
export async function readSecrets(access: ServerAccess): Promise<ConnectionOptions> {
  const { tokenFile, credentialsFile, user, passwordFile } = access;
  if (tokenFile !== undefined) return { token: await readLine(tokenFile) };
  if (credentialsFile !== undefined) {
    const { credsAuthenticator } = await import('@nats-io/transport-node');
    return { authenticator: credsAuthenticator(await readFile(credentialsFile)) };
  }
  if (user === undefined) return {};
  return { user, ...(passwordFile === undefined ? {} : { pass: await readLine(passwordFile) }) };
}

async function readLine(file: string): Promise<string> {
  return (await readFile(file, 'utf8')).trim();
}
