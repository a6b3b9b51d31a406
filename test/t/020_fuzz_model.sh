#!/bin/bash
# Random models under random changes against the oracle, TAP of test/fuzz/model; the same cases each time, others with SEED and N.
exec "$(dirname "$0")/../fuzz/model" "${SEED:-20240601}" "${N:-150}"
