#!/bin/sh
# Installs what is missing on a Debian or Ubuntu machine: the tools of the laboratory and its tests, and the npm packages.
# With the argument `demo` only what the two-path demonstration takes.
# Does nothing where all is there. Called by quickstart.sh (demo) and by the tests.
set -eu
cd "$(dirname "$0")/.."
extent="${1:-all}"

if ! command -v node >/dev/null 2>&1; then
  echo "preflex: Node.js 20.19 or newer is missing: see https://nodejs.org/en/download" >&2
  exit 1
fi
if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'; then
  echo "preflex: Node.js $(node --version) is too old, it takes 20.19 or newer." >&2
  exit 1
fi

# tool:package
tools="ip:iproute2 iperf3:iperf3 tcpdump:tcpdump curl:curl"
[ "$extent" = demo ] || tools="$tools nats-server:nats-server clang:clang chromium:chromium bird:bird2 nft:nftables faketime:faketime tshark:tshark"
missing=""
for pair in $tools; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
# Headers of the BPF programs; brings libbpf1, which loads them.
[ "$extent" = demo ] || [ -e /usr/include/bpf/bpf_helpers.h ] || missing="$missing libbpf-dev"
if [ -n "$missing" ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "preflex: missing for the laboratory:$missing. Install them with: sudo apt-get install$missing" >&2
  else
    echo "preflex: installing$missing" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2
    # Debian starts a NATS server and a BIRD for the whole machine when they are installed. The laboratory needs the
    # programs alone: while the packages are installed their services are masked (until the next boot at most) and no
    # script may start any, after that they are disabled. `systemctl enable --now bird` makes it what Debian intended.
    services=""
    case " $missing " in *" nats-server "*) services="$services nats-server.service" ;; esac
    case " $missing " in *" bird2 "*) services="$services bird.service" ;; esac
    # shellcheck disable=SC2086 # lists of names
    if [ -n "$services" ]; then
      policy=/usr/sbin/policy-rc.d
      if [ -e "$policy" ]; then policy=""; else printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 0755 "$policy"; fi
      masked=""
      if [ -d /run/systemd/system ]; then
        systemctl mask --runtime --quiet $services
        masked="$services"
      fi
      trap '[ -z "$policy" ] || rm -f "$policy"; [ -z "$masked" ] || systemctl unmask --runtime --quiet $masked' EXIT
    fi
    # shellcheck disable=SC2086 # a list of package names
    apt-get install -y -qq $missing >&2
    # shellcheck disable=SC2086 # a list of names
    if [ -n "$services" ] && command -v systemctl >/dev/null 2>&1; then systemctl disable --quiet $services >&2; fi
  fi
fi

# promtool checks metrics in the tests. Debian has it in the package prometheus alone, whose server nobody wants here: it
# would start with the machine. So the program is taken out of the package, and the package is not installed.
if [ "$extent" != demo ] && ! command -v promtool >/dev/null 2>&1; then
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
if [ "$extent" != demo ] && command -v clang >/dev/null 2>&1 && [ -e /usr/include/bpf/bpf_helpers.h ] &&
  [ -n "$(find lib/ebpf/programs lib/lex lib/wire -newer lib/ebpf/programs/host.bpf.o -name '*.[cht]*' 2>/dev/null || echo none)" ]; then
  echo "preflex: building the BPF programs" >&2
  npm run --silent build:bpf
fi
