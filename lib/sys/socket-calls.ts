/** socket(2) and bind(2), for the modules that make sockets Node does not have. */
import { declareFunction } from './libc.ts';

/** Makes a socket: its descriptor, or -1 with an errno. @see socket(2) */
export const makeSocket = declareFunction('int socket(int family, int type, int protocol)') as unknown as (
  family: number,
  type: number,
  protocol: number,
) => number;

/** Binds a socket to a struct sockaddr: 0, or -1 with an errno. @see bind(2) */
export const bindSocket = declareFunction(
  'int bind(int fd, const void *address, uint32_t length)',
) as unknown as (fd: number, address: Uint8Array, length: number) => number;
