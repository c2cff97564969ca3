/** Levels and options of sockets that more than one file uses; plain numbers, loads nothing. */

export const SOL_IP = 0;
export const SOL_SOCKET = 1;
export const SOL_TCP = 6;
export const SOL_UDP = 17;
export const SOL_IPV6 = 41;

/** The traffic class byte of IPv4: DSCP in the upper six bits, ECN below. */
export const IP_TOS = 1;
/** Tell the traffic class byte of each IPv4 datagram received. */
export const IP_RECVTOS = 13;
/** Tell the traffic class byte of each IPv6 datagram received. */
export const IPV6_RECVTCLASS = 66;
/** The traffic class byte of IPv6. */
export const IPV6_TCLASS = 67;
/** Size of the segments into which the kernel cuts a message (Linux 4.18). */
export const UDP_SEGMENT = 103;
/** Deliver segments of one sender as one message (Linux 5.0). */
export const UDP_GRO = 104;
