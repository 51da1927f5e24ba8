#!/usr/bin/env bash
# The laboratory's share of .ci/run: one seed of each suite of faults, and the two seeded violations, which must be caught.
# More seeds: LAB_SEEDS="1 2 3" tests/lab/ci.sh; some suites only: LAB_SUITES="power damage". Prints one line `lab PASS …` or `lab FAIL …` per run.
set -u
cd "$(dirname "$0")"
for tool in gcc go make nft ip python3 etcdctl; do
    command -v "$tool" >/dev/null || { echo "lab FAIL: $tool is not installed (see README.md)"; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "lab FAIL: the laboratory needs root (network namespaces, loop disks)"; exit 1; }
make -s || { echo "lab FAIL: make"; exit 1; }
app="${LOOM_APP:-}"
if [ -z "$app" ]; then
    app="$PWD/bin/app"
    dotnet publish ../../src/Loom.Server -c Release -r linux-x64 -o "$app" -v q --nologo || { echo "lab FAIL: publish"; exit 1; }
fi
export PATH="$app:$PATH"
seconds="${LAB_SECONDS:-45}"

# Which faults came how often.
injected() {
    python3 -c 'import json, sys; print(", ".join(f"{name} {count}" for name, count in sorted(json.load(open(sys.argv[1])).get("injected", {}).items())) or "no faults")' "$1"
}

target=loom
# run NAME EXPECTED-EXIT ARGS…: a violation that must be caught has the expected exit status 1.
run() {
    local name="$1" expected="$2" out
    shift 2
    out="results/$name"
    ./run.py --target "targets/$target.json" --out "$out" "$@" >"results/$name.log" 2>&1
    local status=$?
    if [ "$status" = "$expected" ]; then echo "lab PASS $name (exit $status as expected; $(injected "$out/summary.json"))"
    else echo "lab FAIL $name: exit $status, expected $expected"; tail -40 "results/$name.log"; fi
}

mkdir -p results
for seed in ${LAB_SEEDS:-1}; do
    for suite in ${LAB_SUITES:-mixed power datacenters disks damage}; do
        target=loom
        case "$suite" in
            mixed) faults=kill,kill-leader,pause,pause-leader,partition ;;
            power) faults=powercut,powercut-all ;;
            datacenters) target=loom-standbys faults=powercut,powercut-dc,powercut-all ;;
            disks) faults=slowsync,failsync,diskfull ;;
            damage) faults=bitflip,truncate,bitflip-tail,zero-tail ;;
            *) echo "lab FAIL: no suite $suite (mixed power datacenters disks damage)"; exit 1 ;;
        esac
        run "$suite-$seed" 0 --seconds "$seconds" --faults "$faults" --model rev --seed "$seed"
    done
done
target=loom
if [ "${LAB_VIOLATIONS:-1}" = 1 ]; then
    run stale-reads 1 --seconds 25 --faults partition --serializable --seed 1
    run lying-disk 1 --seconds 25 --faults powercut-all --wrap 'sync lie' --seed 1
fi
