# Steps of a test run, for tests/run and .ci/run: each is timed and adds to the sum that ends the run.
#
# Results of one build tree lie in its tests/results: one .json, .log and .rc a test program.

passed=0
failed=0
skipped=0
table=""

# step NAME FUNCTION [ARGUMENTS...]: runs it in this shell, so that it can count.
step() {
  local name=$1 began=$SECONDS
  local passed_before=$passed failed_before=$failed
  shift
  echo "== $name"
  "$@" || count 0 1 "$name did not run to its end"
  table+=$(printf '  %-42s %5d s %6d passed %4d failed' "$name" $((SECONDS - began)) $((passed - passed_before)) $((failed - failed_before)))
  table+=$'\n'
}

# count PASSED FAILED [WHAT FAILED]
count() {
  passed=$((passed + $1))
  failed=$((failed + $2))
  if (($2 > 0)); then echo "FAILED: ${3:-}"; fi
  return 0
}

# The last lines of every run: where the time went, and the sum. Its exit code is the run's.
finish() {
  echo
  echo "where the time went:"
  printf '%s' "$table"
  if ((skipped > 0)); then echo "skipped by themselves: $skipped"; fi
  echo "$passed passed, $failed failed"
  ((failed == 0))
}

# quietly LOG COMMAND...: output is for failures only.
quietly() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  if "$@" >"$log" 2>&1 </dev/null; then return 0; fi
  tail -n 60 "$log"
  echo "(all of it: $log)"
  return 1
}

# build_tree TREE NAME-PATTERN|all [CMAKE OPTIONS...]: everything, or the test programs whose names match.
build_tree() {
  local tree=$1 pattern=$2 targets=()
  shift 2
  if quietly "$tree/configure.log" cmake -S "$root" -B "$tree" -G Ninja "$@"; then
    if [[ $pattern != all ]]; then mapfile -t targets < <(test_programs "$tree" "$pattern" | sed 's|.*/||'); fi
    if [[ $pattern != all && ${#targets[@]} == 0 ]]; then
      count 0 1 "no test program in $tree is named $pattern"
      return 0
    fi
    if quietly "$tree/build.log" ninja -C "$tree" "${targets[@]}"; then
      count 1 0
      return 0
    fi
  fi
  count 0 1 "the build in $tree"
}

# named TREE: the tests that CMake knows now, built or not; what an earlier build left behind is not run.
named() {
  ctest --test-dir "$1" --show-only=json-v1 | jq -r '.tests[].name'
}

# test_programs TREE NAME-PATTERN: the GoogleTest programs whose names match. Those that replay a corpus are no such programs.
test_programs() {
  named "$1" | grep -v '^fuzz_' | sed 's/$/_tests/' | grep -E "$2" | sed "s|^|$1/tests/|"
}

# run_corpora TREE: what each fuzz target's corpus holds, replayed; one test a target.
run_corpora() {
  local tree=$1 name
  for name in $(named "$tree" | grep '^fuzz_'); do
    if quietly "$tree/tests/results/$name.log" ctest --test-dir "$tree" --timeout 120 -R "^$name\$"; then
      count 1 0
    else
      count 0 1 "$name"
    fi
  done
}

# One test program under a deadline; its own process group ends with it. Runs in a shell of its own, three at a time.
run_program() {
  local program=$1 results=$2 name
  name=$(basename "$program")
  timeout --kill-after=10 "${TEST_PROGRAM_SECONDS:-240}" \
    "$program" --gtest_brief=1 --gtest_output="json:$results/$name.json" >"$results/$name.log" 2>&1 </dev/null
  echo $? >"$results/$name.rc"
}
export -f run_program

# run_gtests TREE NAME-PATTERN
run_gtests() {
  local tree=$1 results=$1/tests/results programs program name code tests bad skips
  programs=$(test_programs "$tree" "$2") || return 1
  if [[ -z $programs ]]; then return 1; fi
  rm -rf "$results"
  mkdir -p "$results"
  xargs -r -d '\n' -P 3 -I{} bash -c 'run_program "$1" "$2"' run {} "$results" <<<"$programs"
  while read -r program; do
    name=$(basename "$program")
    code=$(cat "$results/$name.rc" 2>/dev/null || echo "no exit code")
    read -r tests bad skips < <(jq -r '[.tests, .failures + .errors, ([.testsuites[].testsuite[] | select(.result == "SKIPPED")] | length)] | @tsv' \
      "$results/$name.json" 2>/dev/null || echo "0 0 0")
    skipped=$((skipped + skips))
    # A crash or a deadline leaves no file, and a sanitizer's report at the end leaves one without failures.
    if [[ $code != 0 ]] && ((bad == 0)); then bad=1 tests=$((tests + 1)); fi
    if ((bad > 0)); then tail -n 80 "$results/$name.log"; fi
    count $((tests - bad - skips)) "$bad" "$name (exit code $code$([[ $code == 124 ]] && echo ": not ended in time"); log: $results/$name.log)"
  done <<<"$programs"
}

# One file of Python tests under a deadline, as run_program.
run_python_file() {
  local log=$2/$(basename "$1").log
  timeout --kill-after=20 "${TEST_PROGRAM_SECONDS:-240}" /usr/bin/python3 -B -m unittest "$1" >"$log" 2>&1 </dev/null
  echo $? >"$log.rc"
}
export -f run_python_file

# run_python FILE...: standard library's unittest, from Debian's own Python. Four files at a time: they mostly wait.
run_python() {
  local file log ran bad skips code results=$root/build/tests/results
  mkdir -p "$results"
  rm -f "$results"/*.py.log "$results"/*.py.log.rc
  printf '%s\n' "$@" | xargs -r -d '\n' -P 4 -I{} bash -c 'run_python_file "$1" "$2"' run {} "$results"
  for file in "$@"; do
    log=$results/$(basename "$file").log
    code=$(cat "$log.rc" 2>/dev/null || echo 1)
    ran=$(sed -n 's/^Ran \([0-9]*\) tests\{0,1\} in .*/\1/p' "$log")
    bad=$(sed -n 's/^FAILED (\(.*\))$/\1/p' "$log" | grep -oE '(failures|errors)=[0-9]+' | grep -oE '[0-9]+' | paste -sd+ | added_up)
    skips=$(sed -n 's/^[A-Z]* (.*skipped=\([0-9]*\).*)$/\1/p' "$log")
    skipped=$((skipped + ${skips:-0}))
    if ((code != 0 && bad == 0)); then bad=1 ran=$((${ran:-0} + 1)); fi
    if ((bad > 0)); then tail -n 60 "$log"; fi
    count $((${ran:-0} - bad - ${skips:-0})) "$bad" "$file (exit code $code; log: $log)"
  done
}

# simulated TREE FIRST LAST [OPTIONS...]: that many seeds of the simulated world; one test.
simulated() {
  local tree=$1 seeds=$2..$3 log=$root/build/tests/results/simulate-$2-$3.log
  shift 3
  mkdir -p "$(dirname "$log")"
  if "$tree/tests/simulate" --seeds "$seeds" --jobs 2 "$@" >"$log" 2>&1 </dev/null; then
    tail -n 1 "$log" | sed 's/^/simulate: /'
    count 1 0
  else
    grep -A 1 '^VIOLATION' "$log" | head -n 40
    tail -n 2 "$log"
    count 0 1 "tests/simulate --seeds $seeds $* (log: $log)"
  fi
}

# mutants TREE: deliberate faults of engine and driver, each caught within 2,000 seeds; one test, and the table of what caught it.
mutants() {
  local tree=$1 log=$root/build/tests/results/mutants.log
  mkdir -p "$(dirname "$log")"
  if quietly "$tree/build.log" ninja -C "$tree" simulate_mutants && "$tree/tests/simulate_mutants" >"$log" 2>&1 </dev/null; then
    count 1 0
  else
    count 0 1 "simulate_mutants (log: $log)"
  fi
  cat "$log"
}

# "2+1" on standard input -> 3; nothing -> 0.
added_up() {
  local sum
  read -r sum || true
  echo $((${sum:-0}))
}
