#!/usr/bin/env bash
# The kernels' tests under AddressSanitizer and UndefinedBehaviorSanitizer, and the pool under
# ThreadSanitizer: tests/faults/sanitizers.sh [python [tests…]]. Takes minutes; `.ci/run --faults` runs it.
set -eu
cd "$(dirname "$0")/../.."
python=${1:-python}
[ $# -gt 0 ] && shift
compiler=${CXX:-g++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "--- the pool under ThreadSanitizer"
$compiler -std=c++17 -O1 -g -pthread -fsanitize=thread -iquote kernels -iquote kernels/host \
    tests/kernels/every_task_once.cpp kernels/host/pool.cpp -o "$work/pool"
# Where addresses are drawn at random it may not find its own.
fixed=$(command -v setarch || true)
TSAN_OPTIONS=halt_on_error=1 ${fixed:+$fixed "$(uname -m)" -R} "$work/pool" 3000

echo "--- the kernels under AddressSanitizer and UndefinedBehaviorSanitizer"
# Python is not built for it, so the libraries come first; it keeps much until its end, so no leaks.
# A cache of its own: this build is thrown away.
export XDG_CACHE_HOME="$work"
export CXX="$compiler -g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined"
export LD_PRELOAD="$($compiler -print-file-name=libasan.so) $($compiler -print-file-name=libubsan.so)"
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1
# What compiles everything anew in processes of its own is no test of kernels.
[ $# -gt 0 ] || set -- tests/kernels tests/ops/test_pool.py tests/recording \
    tests/faults/test_digests.py --ignore tests/kernels/test_compiler.py
"$python" -m pytest --kernels compiled "$@"
echo "--- clean, in $SECONDS s"
