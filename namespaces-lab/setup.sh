#!/bin/sh
# Installs what is missing on a Debian or Ubuntu machine: the tools of the laboratory and the npm packages.
# Does nothing where all is there. Called by quickstart.sh and by the tests.
set -eu
cd "$(dirname "$0")/.."

if ! command -v node >/dev/null 2>&1; then
  echo "preflex: Node.js 20.19 or newer is missing: see https://nodejs.org/en/download" >&2
  exit 1
fi
if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'; then
  echo "preflex: Node.js $(node --version) is too old, it takes 20.19 or newer." >&2
  exit 1
fi

# tool:package
missing=""
for pair in ip:iproute2 iperf3:iperf3 tcpdump:tcpdump curl:curl nats-server:nats-server clang:clang; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
# Headers of the BPF programs; brings libbpf1, which loads them.
[ -e /usr/include/bpf/bpf_helpers.h ] || missing="$missing libbpf-dev"
if [ -n "$missing" ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "preflex: missing for the laboratory:$missing. Install them with: sudo apt-get install$missing" >&2
  else
    echo "preflex: installing$missing" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2
    # Debian starts a NATS server for the whole machine when it is installed. The laboratory needs the program alone:
    # while the package is installed its service is masked (until the next boot at most), after that it is disabled.
    # `systemctl enable --now nats-server` makes it what Debian intended.
    nats=""
    case " $missing " in *" nats-server "*) nats=nats-server.service ;; esac
    if [ -n "$nats" ] && [ -d /run/systemd/system ]; then
      systemctl mask --runtime --quiet "$nats"
      trap 'systemctl unmask --runtime --quiet "$nats"' EXIT
    fi
    # shellcheck disable=SC2086 # a list of package names
    apt-get install -y -qq $missing >&2
    if [ -n "$nats" ] && command -v systemctl >/dev/null 2>&1; then systemctl disable --quiet "$nats" >&2; fi
  fi
fi

# promtool checks metrics in the tests. Debian has it in the package prometheus alone, whose server nobody wants here: it
# would start with the machine. So the program is taken out of the package, and the package is not installed.
if ! command -v promtool >/dev/null 2>&1; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "preflex: missing for the tests: promtool, of the package prometheus." >&2
  else
    echo "preflex: fetching promtool" >&2
    apt-get update -qq >&2
    (
      folder="$(mktemp -d)"
      trap 'rm -rf "$folder"' EXIT
      chmod 0755 "$folder"
      cd "$folder"
      apt-get download -qq -o APT::Sandbox::User=root prometheus >&2
      dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
      install -m 0755 usr/bin/promtool /usr/local/bin/promtool
    )
  fi
fi

# The lock file that npm itself leaves behind tells what is installed.
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "preflex: installing the npm packages" >&2
  npm ci --no-fund --no-audit >&2
fi

# The BPF programs, where they are older than their sources.
if command -v clang >/dev/null 2>&1 && [ -e /usr/include/bpf/bpf_helpers.h ] &&
  [ -n "$(find lib/ebpf/programs lib/lex lib/wire -newer lib/ebpf/programs/host.bpf.o -name '*.[cht]*' 2>/dev/null || echo none)" ]; then
  echo "preflex: building the BPF programs" >&2
  npm run --silent build:bpf
fi
