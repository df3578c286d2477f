#!/bin/sh
# `make demo`: samples (or the user's own pictures in $IMAGES), a run on them, a contact sheet.
# Its argument is the folder of the programs of the virtual environment.
set -eu
bin=$1

case "${IMAGES:-}" in
"")
    input=demo/input out=demo/out
    rm -rf "$out"
    "$bin/python" -m bench.samples "$input"
    ;;
"~/"*) input=$HOME/${IMAGES#"~/"} out=demo/own ;;
*) input=$IMAGES out=demo/own ;;
esac

mkdir -p demo
status=0
"$bin/faces" run "$input" -o "$out" >demo/summary.txt || status=$?
if [ "$status" -ne 0 ] && [ "$status" -ne 3 ]; then
    cat demo/summary.txt
    exit "$status"
fi
"$bin/python" -m bench.contact_sheet "$out" demo/contact-sheet.png
echo "results: $out/annotated"
cat demo/summary.txt
