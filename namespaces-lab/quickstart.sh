#!/bin/sh
# From a fresh clone to PREFLEX on real traffic: installs what is missing, then runs the two-path laboratory.
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" -ne 0 ]; then
  echo "preflex: the laboratory needs root, because it makes network namespaces, TUN devices and routes: run it with sudo." >&2
  exit 1
fi
sh namespaces-lab/setup.sh demo
exec node --import tsx lib/cli/main.ts lab two-path "$@"
