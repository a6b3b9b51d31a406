#!/bin/sh
# Rebuilds examples/territoire/data/*.csv.gz from their published sources.
#
#   build.sh [contours.geojson]
#
# Communes, EPCI, départements and régions come from the npm package
# @etalab/decoupage-administratif, one version of the package per vintage, fetched by name
# with the npm client. Contours of the départements are rebuilt only when a GeoJSON file
# (properties code and nom, WGS 84) is given. The output is the same byte for byte each time.
# Needs: npm, node, tar. Source and licence of the data: data/README.md.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
package=@etalab/decoupage-administratif
# vintage:version of the package. There is no 2020: the package holds no communes for it.
vintages='2019:0.7.0 2021:1.1.1 2022:2.3.1 2023:3.1.1 2024:4.1.0 2025:5.3.0 2026:6.0.0'

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$here/../data"

for pair in $vintages; do
    year=${pair%%:*}
    version=${pair#*:}
    echo "vintage $year: $package $version"
    mkdir "$tmp/$year"
    (cd "$tmp/$year" && npm pack --silent "$package@$version" >/dev/null && tar -xzf ./*.tgz)
    node "$here/vintage.mjs" "$year" "$tmp/$year/package/data" "$here/../data"
done

if [ $# -ge 1 ]; then
    echo "contours: $1"
    node "$here/contours.mjs" "$1" "$here/../data/departements-contours.csv.gz"
fi

du -ch "$here/../data"/*.gz | tail -n 1
