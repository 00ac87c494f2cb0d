# Two images from one file; both run `neonext-ascend` and nothing else.
#   docker build --target cpu -t neonext-ascend:cpu .          export, verify, predict on any machine
#   docker build --target ascend -t neonext-ascend:ascend .    the same with CANN: OM files and the NPU
# Both serve; for a worker of Ray add `--build-arg EXTRAS=serve,ray`.
# Both for x86-64 and aarch64. Pin a base by digest with `--build-arg CPU_BASE_IMAGE=python@sha256:...`.

ARG CPU_BASE_IMAGE=python:3.11.14-slim-bookworm
# An official image for 310P, tags as in the repository Ascend/cann-container-image; another chip has another tag.
ARG BASE_IMAGE=ascendai/cann:9.0.1-310p-ubuntu22.04-py3.11

# ---- builders: what needs pip, the sources and their tools stays here -------------------------------------------
FROM ${CPU_BASE_IMAGE} AS cpu-builder
ARG TORCH_VERSION=2.13.0
# Where torch comes from. Empty is pip's index, on x86-64 a CUDA build of several GB: better PyTorch's CPU index.
ARG TORCH_INDEX_URL=
COPY docker/install.sh /build/install.sh
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=ca_bundle,target=/run/secrets/ca_bundle,required=false \
    sh /build/install.sh torch
ARG EXTRAS=serve
# With `ray` among them: as deploy/kuberay says, for all nodes of a cluster need the same.
ARG RAY_VERSION=2.60.0
COPY pyproject.toml README.md LICENSE /build/source/
COPY neonext_ascend /build/source/neonext_ascend
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=ca_bundle,target=/run/secrets/ca_bundle,required=false \
    sh /build/install.sh package

FROM ${BASE_IMAGE} AS ascend-builder
# hadolint ignore=DL3002 # a builder
USER 0:0
ARG TORCH_VERSION=2.13.0
ARG TORCH_INDEX_URL=
# Empty: OM files through pyACL alone. Else a release such as 2.9.0.post2, and torch is the one that pairs with it.
ARG TORCH_NPU_VERSION=
# CANN's image has Python packages that its own modules import; keep them in sight.
ARG VENV_OPTIONS=--system-site-packages
COPY docker/install.sh /build/install.sh
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=ca_bundle,target=/run/secrets/ca_bundle,required=false \
    sh /build/install.sh torch
ARG EXTRAS=serve
# With `ray` among them: as deploy/kuberay says, for all nodes of a cluster need the same.
ARG RAY_VERSION=2.60.0
COPY pyproject.toml README.md LICENSE /build/source/
COPY neonext_ascend /build/source/neonext_ascend
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=ca_bundle,target=/run/secrets/ca_bundle,required=false \
    sh /build/install.sh package

# ---- ascend: adds no compiler; what CANN's image has stays, for atc compiles kernels ----------------------------
FROM ${BASE_IMAGE} AS ascend
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="neonext-ascend" \
      org.opencontainers.image.description="NeoNeXt checkpoints to verified ONNX and OM files, on CANN" \
      org.opencontainers.image.licenses="BSD-3-Clause" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 0:0
COPY --from=ascend-builder /opt/neonext-ascend /opt/neonext-ascend
RUN groupadd --gid 10001 neonext \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin neonext \
    && install -d -o 10001 -g 10001 /data \
    && for program in neonext-ascend ray; do \
         if [ -e "/opt/neonext-ascend/bin/$program" ]; then \
           ln -s "/opt/neonext-ascend/bin/$program" /usr/local/bin/; fi; done
COPY --chmod=0755 docker/entrypoint.sh /usr/local/bin/neonext-ascend-entrypoint
# Whatever is written goes to /data, the one place that need be writable.
ENV HOME=/data \
    USER=neonext \
    TMPDIR=/data/.tmp \
    XDG_CACHE_HOME=/data/.cache \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    TORCH_DEVICE_BACKEND_AUTOLOAD=0
WORKDIR /data
USER 10001:10001
HEALTHCHECK --interval=5m --timeout=2m --start-period=10s --retries=2 \
    CMD ["neonext-ascend-entrypoint", "doctor", "--require", "onnx"]
ENTRYPOINT ["neonext-ascend-entrypoint"]
CMD ["--help"]

# ---- cpu: the last stage, so the one that a plain `docker build .` makes ----------------------------------------
FROM ${CPU_BASE_IMAGE} AS cpu
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="neonext-ascend" \
      org.opencontainers.image.description="NeoNeXt checkpoints to verified ONNX files, on a CPU" \
      org.opencontainers.image.licenses="BSD-3-Clause" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=cpu-builder /opt/neonext-ascend /opt/neonext-ascend
RUN groupadd --gid 10001 neonext \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin neonext \
    && install -d -o 10001 -g 10001 /data \
    && for program in neonext-ascend ray; do \
         if [ -e "/opt/neonext-ascend/bin/$program" ]; then \
           ln -s "/opt/neonext-ascend/bin/$program" /usr/local/bin/; fi; done
COPY --chmod=0755 docker/entrypoint.sh /usr/local/bin/neonext-ascend-entrypoint
ENV HOME=/data \
    USER=neonext \
    TMPDIR=/data/.tmp \
    XDG_CACHE_HOME=/data/.cache \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    TORCH_DEVICE_BACKEND_AUTOLOAD=0
WORKDIR /data
USER 10001:10001
HEALTHCHECK --interval=5m --timeout=2m --start-period=10s --retries=2 \
    CMD ["neonext-ascend-entrypoint", "doctor", "--require", "onnx"]
ENTRYPOINT ["neonext-ascend-entrypoint"]
CMD ["--help"]
