#!/usr/bin/env bash
# The library exports exactly what the header declares, exports.map lists and README.md describes, and needs nothing but libc.
set -euo pipefail
library=$1 header=$2 map=$3
declared=$(grep -oE '^DT_API .*\bdt_[a-z_]+\(' "$header" | grep -oE 'dt_[a-z_]+\($' | tr -d '(' | sort)
listed=$(grep -oE '\bdt_[a-z_]+;' "$map" | tr -d ';' | sort)
exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }' | sed 's/@.*//' | sort)
diff <(echo "$declared") <(echo "$listed") || { echo "header and exports.map differ (left: header)"; exit 1; }
diff <(echo "$declared") <(echo "$exported") || { echo "header and library differ (left: header)"; exit 1; }
readme=$(dirname "$map")/README.md
described=$(grep -E '^\| `dt_' "$readme" | cut -d'|' -f2 | grep -oE 'dt_[a-z_]+' | sort -u)
diff <(echo "$declared") <(echo "$described") || { echo "header and the table of README.md differ (left: header)"; exit 1; }
version=$(sed -nE 's/^#define DT_ABI_VERSION ([0-9]+).*/\1/p' "$header")
grep -qx "## The interface, version $version" "$readme" || { echo "README.md does not describe version $version"; exit 1; }
needed=$(objdump -p "$library" | awk '/NEEDED/ { print $2 }' | grep -vE '^(libc|libm|libpthread|ld-linux.*|lib[a-z]+san)\.so\.[0-9]+$' || true)
[[ -z $needed ]] || { echo "the library needs more than libc: $needed"; exit 1; }
echo "$(echo "$exported" | wc -l) symbols"
