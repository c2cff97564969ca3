#!/bin/sh
# All tests but those of the package (npm run test:package); without root the unit tests. Arguments go to vitest. Ends with a line `N passed, N failed`.
set -eu
cd "$(dirname "$0")/.."
sh namespaces-lab/setup.sh
if [ "$(id -u)" -ne 0 ]; then
  echo "preflex: the namespace tests need root and are left out: run them with sudo npm test." >&2
  exec npx vitest run --project unit "$@"
fi
exec npx vitest run --project unit --project netns "$@"
