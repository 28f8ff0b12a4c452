#!/usr/bin/env bash
# Sees to it that there is a Chromium for the tests: installs Debian's where that is allowed, or says how to.
set -euo pipefail

browser=${MNEME_CHROMIUM:-/usr/bin/chromium}
[[ -x $browser ]] && exit 0
if [[ $browser == /usr/bin/chromium && $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "installing Chromium (about 100 MB, once)"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update && apt-get -qq --no-install-recommends install chromium fonts-dejavu-core >/dev/null
    [[ -x $browser ]] && exit 0
fi
cat >&2 <<END
There is no $browser, which the tests in a browser drive.
On Debian: sudo apt-get install chromium
Elsewhere, name a Chromium or Chrome: MNEME_CHROMIUM=/path/to/chromium make test-browser
END
exit 1
