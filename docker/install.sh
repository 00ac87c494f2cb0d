#!/bin/sh
# Used by the Dockerfile's builders: the virtual environment /opt/neonext-ascend, in two steps that cache apart.
#   install.sh torch     the environment and torch; TORCH_VERSION, TORCH_INDEX_URL, TORCH_NPU_VERSION, VENV_OPTIONS
#   install.sh package   a wheel of /build/source, and that wheel with the libraries it needs; EXTRAS such as serve,ray; RAY_VERSION
set -eu
venv=${NEONEXT_VENV:-/opt/neonext-ascend}
# CANN's own modules are not what pip should find installed.
unset PYTHONPATH
pip="$venv/bin/python -m pip --no-cache-dir --disable-pip-version-check"

install_torch() {
  # shellcheck disable=SC2086 # options, split into words on purpose
  python3 -m venv ${VENV_OPTIONS:-} "$venv"
  # torch_npu 2.9.0.post2 goes with torch 2.9.0
  torch=${TORCH_NPU_VERSION:-$TORCH_VERSION}
  torch=torch==${torch%.post*}
  $pip install ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} "$torch"
  if [ -n "${TORCH_NPU_VERSION:-}" ]; then
    $pip install "$torch" "torch_npu==$TORCH_NPU_VERSION"
  fi
}

install_package() {
  $pip wheel --no-deps --wheel-dir /build/wheels /build/source
  case ",${EXTRAS:-}," in
    *,ray,*) ray=ray==$RAY_VERSION ;;
    *) ray= ;;
  esac
  for wheel in /build/wheels/*.whl; do
    $pip install "$wheel${EXTRAS:+[$EXTRAS]}" ${ray:+"$ray"}
  done
}

case $1 in
  torch) install_torch ;;
  package) install_package ;;
  *) echo "install.sh: torch or package, not $1" >&2; exit 2 ;;
esac
