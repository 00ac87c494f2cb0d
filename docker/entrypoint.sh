#!/usr/bin/env bash
# Takes over CANN's environment where there is one, then runs neonext-ascend with all arguments.
# NEONEXT_CANN_ROOT: where CANN is, /usr/local/Ascend by default. NEONEXT_PROGRAM: what runs in place of neonext-ascend.
set -euo pipefail
root=${NEONEXT_CANN_ROOT:-/usr/local/Ascend}

# The vendor's script sees none of our arguments, may use variables that are not set, and prints to standard error:
# standard output belongs to --json.
take_over() {
  local file=$1
  shift
  set +u
  # shellcheck disable=SC1090 # the vendor's
  source "$file" >&2 || echo "neonext-ascend: $file ended with status $?; going on without the rest of it" >&2
  set -u
}

# CANN before 8.5 has the first alone, later ones may have both.
for file in "$root/ascend-toolkit/set_env.sh" "$root/cann/set_env.sh"; do
  if [[ -r $file ]]; then
    take_over "$file"
  fi
done

# Python and atc want a place for temporary files; on a read-only root it can only be in the mounted folder.
if [[ -n ${TMPDIR:-} ]] && ! { mkdir -p "$TMPDIR" && [[ -w $TMPDIR ]]; } 2>/dev/null; then
  echo "neonext-ascend: ${HOME:-/data} is not writable by user $(id -u): what writes files will fail; mount a folder" \
    "there that this user may write, or run as its owner with --user \"\$(id -u):\$(id -g)\"" >&2
  unset TMPDIR
fi

exec "${NEONEXT_PROGRAM:-neonext-ascend}" "$@"
