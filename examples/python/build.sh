#!/bin/sh
# Makes build/ticket.wasm. Needs componentize-py: see the README.
set -e
cd "$(dirname "$0")"
mkdir -p build
componentize-py --quiet --wit-path ../../plugin-sdk/wit/v1 --world transform-plugin \
  componentize ticket --stub-wasi --output build/ticket.wasm
