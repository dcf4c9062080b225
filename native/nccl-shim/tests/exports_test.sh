#!/usr/bin/env bash
# The library exports exactly what the header declares and exports.map lists, and needs nothing but libc.
set -euo pipefail
library=$1 header=$2 map=$3
declared=$(grep -oE '^DT_API .*\bdt_[a-z_]+\(' "$header" | grep -oE 'dt_[a-z_]+\($' | tr -d '(' | sort)
listed=$(grep -oE '\bdt_[a-z_]+;' "$map" | tr -d ';' | sort)
exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }' | sed 's/@.*//' | sort)
diff <(echo "$declared") <(echo "$listed") || { echo "header and exports.map differ (left: header)"; exit 1; }
diff <(echo "$declared") <(echo "$exported") || { echo "header and library differ (left: header)"; exit 1; }
needed=$(objdump -p "$library" | awk '/NEEDED/ { print $2 }' | grep -vE '^(libc|libm|libpthread|ld-linux.*|lib[a-z]+san)\.so\.[0-9]+$' || true)
[[ -z $needed ]] || { echo "the library needs more than libc: $needed"; exit 1; }
echo "$(echo "$exported" | wc -l) symbols"
